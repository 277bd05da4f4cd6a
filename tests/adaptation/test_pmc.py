"""PMC: its parts by hand, the four defects that it must not have, and what it learns on a planted shift."""

from __future__ import annotations

from math import exp, log

import pytest
import torch
from torch import nn

from mfas.adaptation import registry
from mfas.adaptation.live import LiveTensors
from mfas.adaptation.offline import Course, LabelledBatch
from mfas.adaptation.pmc import PmcSettings
from mfas.adaptation.pmc_descent import Descent
from mfas.adaptation.pmc_generator import MapGenerator, others_of
from mfas.adaptation.pmc_steps import Cooperation, Known
from mfas.adaptation.pmc_terms import (
    DomainHead,
    learning_share,
    most_certain,
    rate_factor,
    reversed_gradient,
    weighted_loss,
)
from mfas.adaptation.pool import CapturePool, MapPool
from mfas.core import MODALITIES, Batch, Modality
from mfas.models.backbones.compact import CompactBackbone
from toys import SPEC, batch, card, restyled, right_by_head, target_of, tiny_model, trained

FEW = {"passes": 1, "generator_passes": 4}


def known(count: int = 2) -> list[LabelledBatch]:
    return [LabelledBatch(batch(16, seed=500 + i), target_of(16) > 0) for i in range(count)]


def without_depth(count: int, seed: int) -> Batch:
    return batch(count, seed, present=torch.tensor([[True, False, True]]).expand(count, 3))


def test_reversal_passes_values_and_turns_gradients() -> None:
    x = torch.tensor([1.5, -2.0], requires_grad=True)
    y = reversed_gradient(x, 0.3)
    (y * torch.tensor([1.0, 10.0])).sum().backward()
    assert torch.allclose(y, x)
    assert x.grad is not None
    assert x.grad.tolist() == pytest.approx([-0.3, -3.0])


@pytest.mark.parametrize(
    ("accuracies", "share"),
    [
        ([], 0.1),
        ([0.9], 0.2),
        ([0.9, 0.8], 0.3),  # the first is its own mean, not below it
        ([0.9, 0.8, 0.7], 0.2),
        ([0.9, 0.8, 0.7, 0.95], 0.3),
        ([0.9] * 30, 1.0),
        ([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3], 0.0),
    ],
)
def test_share_grows_and_shrinks_with_source_accuracy(accuracies: list[float], share: float) -> None:
    assert learning_share(accuracies, 10) == pytest.approx(share)


def test_the_surest_candidates_are_chosen() -> None:
    logits = torch.tensor([0.1, -3.0, 9.0, 2.0, -1.0])
    candidates = torch.tensor([True, True, False, True, True])
    assert most_certain(logits, candidates, 0.5).tolist() == [1, 3]
    assert most_certain(logits, candidates, 0.0).tolist() == []


# -- the four defects ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", range(3))
def test_a_modality_is_taught_on_its_own_images(column: int) -> None:
    """Defect (a): depth and infrared were swapped. The loss reaches the encoder of the modality that spoke, alone."""
    model = trained(steps=1)
    live = LiveTensors(model, [name for name, _ in model.named_parameters() if ".high." in name])
    maps = MapPool(model, CapturePool([batch(4)], SPEC))
    own, course = PmcSettings(), Course()
    heads = [DomainHead(128, 4) for _ in MODALITIES]
    descent = Descent(live, [], own, course)
    work = Cooperation(
        model, maps, Known(maps, target_of(4) > 0), heads, lambda p, i: (*p.take(i), p.present[i]), descent, own, 0
    )
    with live.differentiable():
        loss = work._one(column, torch.arange(4), torch.ones(4), torch.ones(4))
        slopes = torch.autograd.grad(loss, list(live.values.values()), allow_unused=True)
    reached = {name.split(".")[2] for name, slope in zip(live.values, slopes, strict=True) if slope is not None}
    assert reached == {MODALITIES[column].value}


def test_confidence_weighs_each_capture() -> None:
    """Defect (b): the loss was averaged first, which leaves nothing of the weights but their mean."""
    z, goal, weight = [2.0, -1.0], [1.0, 1.0], [0.9, 0.6]
    by_hand = sum(w * log(1 + exp(-x)) for w, x in zip(weight, z, strict=True)) / 2
    found = weighted_loss(*(torch.tensor(x) for x in (z, goal, weight)))
    assert float(found) == pytest.approx(by_hand, rel=1e-6)
    assert float(found) != pytest.approx(sum(log(1 + exp(-x)) for x in z) / 2 * 0.75, rel=1e-3)


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_the_schedule_keeps_the_factor_of_new_heads(progress: float) -> None:
    """Defect (c): the schedule set one rate for all groups. A first step without momentum is rate times slope."""
    live, own = LiveTensors(tiny_model(), ["fused.0.bias"]), PmcSettings(learning_rate=0.01, momentum=0.0)
    new = nn.Parameter(torch.zeros(1))
    descent = Descent(live, [new], own, Course())
    with descent.differentiable():
        descent.step(live.values["fused.0.bias"].sum() + new.sum(), progress)
    rate = 0.01 * rate_factor(progress)
    moved = live.values["fused.0.bias"] - live.source["fused.0.bias"]
    assert moved.tolist() == pytest.approx([-rate] * len(moved), rel=1e-3)
    assert float(new.detach()) == pytest.approx(-10 * rate, rel=1e-5)


def test_what_a_pass_selects_is_learnt_in_that_pass() -> None:
    """Defect (d): selections were used one pass late. One pass over 32 captures: 2 steps, then 2 for each voice."""
    adapter = registry.create_offline("pmc", trained(steps=4), card(), FEW)
    assert adapter.fit([batch(16, seed=i) for i in range(2)], known()).steps == 2 + 4 * 2


@pytest.mark.parametrize("name", ["mfas_danet", "late_fusion"])
def test_surface_is_everything_above_the_cut(name: str) -> None:
    model = tiny_model(name)
    below = {parameter for parameter, _ in model.named_parameters() if ".low." in parameter}
    adapted = registry.create_offline("pmc", model, card(name)).adapted_parameters
    assert adapted == {parameter for parameter, _ in model.named_parameters()} - below


# -- what it learns --------------------------------------------------------------------------------------------------


def test_a_head_whose_cue_is_gone_learns_the_new_one() -> None:
    adapter = registry.create_offline("pmc", trained(steps=20), card(), {"passes": 4, "learning_rate": 1e-2})
    before = right_by_head(adapter.predict(restyled(100, seed=900)))
    adapter.fit([restyled(16, seed=i) for i in range(3)], known(3))
    after = right_by_head(adapter.predict(restyled(100, seed=900)))
    assert before["fused"] == after["fused"] == 1.0
    assert after["rgb"] > before["rgb"] + 0.1


def test_a_missing_modality_is_generated_nearer_than_nothing() -> None:
    """The map made from RGB and infrared is nearer to the true depth map than zeros, and than the mean capture."""
    model = trained("late_fusion", steps=20)
    adapter = registry.create_offline("pmc", model, card("late_fusion"), {**FEW, "generator_passes": 40})
    report = adapter.fit([without_depth(16, seed=1)], known())
    assert report.signals["generated_depth"] == 16
    whole, shown = MapPool(model, CapturePool([batch(16, seed=77)], SPEC)).take(torch.arange(16))
    made, _ = adapter._generators[Modality.DEPTH](others_of(whole, shown, Modality.DEPTH), target_of(16) > 0)
    true = whole[Modality.DEPTH]
    error, nothing = (float((true - x).abs().mean()) for x in (made, torch.zeros_like(true)))
    average = float((true - true.mean(dim=0)).abs().mean())
    assert error < average < nothing
    missing, complete = adapter.predict(without_depth(4, seed=9)), adapter.predict(batch(4, seed=9))
    assert missing.substituted.tolist() == [[False, True, False]] * 4
    assert not bool(missing.present[:, 1].any())
    assert not bool(complete.substituted.any())


def test_without_generator_or_anything_missing_there_is_nothing_generated() -> None:
    for target, own in (([without_depth(16, 1)], {"generator_passes": 0}), ([batch(16)], {})):
        adapter = registry.create_offline("pmc", trained("late_fusion", steps=1), card("late_fusion"), {**FEW, **own})
        adapter.fit(target, known())
        assert not bool(adapter.predict(without_depth(4, seed=9)).substituted.any())


def test_the_generator_is_smaller_than_one_compact_encoder() -> None:
    size = {
        name: sum(p.numel() for p in net.parameters())
        for name, net in (
            ("encoder", CompactBackbone(3)),
            ("generator", MapGenerator(64, PmcSettings().generator_width)),
        )
    }
    assert size["generator"] < size["encoder"] / 3
