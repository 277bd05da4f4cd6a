"""CoTTA: its loss and gradient against numpy, what is restored, who answers, and when it rests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mfas.adaptation import registry
from mfas.adaptation.contract import Adapter
from mfas.adaptation.cotta import CottaSettings, unsure_from
from mfas.adaptation.live import LiveTensors
from mfas.adaptation.strong_views import strong_view
from mfas.adaptation.teacher import StudentTensors
from mfas.card import GateEvidence
from mfas.core import Batch
from mfas.models.contract import FasModel
from toys import SPEC, Micro, batch, card, micro_batch, tiny_model, trained

BIAS = "fused.3.bias"
"""Its slope is 1 for every capture, so the gradient there is the mean slope of the loss in the logit."""


@pytest.fixture(scope="module")
def hesitant() -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in trained(steps=4).state_dict().items()}


def model_of(weights: dict[str, torch.Tensor]) -> FasModel:
    model = tiny_model()
    model.load_state_dict(weights)
    return model


def make(weights: dict[str, torch.Tensor], **settings: Any) -> Adapter:
    return registry.create("cotta", model_of(weights), card(), {"views": 3, **settings}, 7)


def test_loss_and_gradient_are_those_of_averaged_views(hesitant: dict[str, torch.Tensor]) -> None:
    """L = -mean(q ln p + (1 - q) ln(1 - p)), dL/db = mean(p - q), q from the mean logit of three views."""
    some, draws = batch(6, seed=3), torch.Generator().manual_seed(7 * 1_000_003)
    with torch.no_grad():
        source = model_of(hesitant)
        z = source(some).logit.double().numpy()
        three = strong_view(some.select(torch.arange(6).repeat(3)), SPEC, draws)
        averaged = source(three).logit.double().numpy().reshape(3, 6).mean(axis=0)
    p, q = 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(-averaged))
    assert np.abs(p - q).max() > 1e-3
    adapter = make(hesitant, restore=0.0)
    _, report = adapter.step(some)
    assert report.signals["averaged"] == 1.0
    assert report.loss == pytest.approx(-np.mean(q * np.log(p) + (1 - q) * np.log(1 - p)), rel=1e-5)
    gradient = float(adapter.state().tensors[f"optimiser.exp_avg.{BIAS}"]) / (1 - 0.9)
    assert gradient == pytest.approx(np.mean(p - q), rel=1e-3)


def test_the_teacher_answers_and_follows_the_student(hesitant: dict[str, torch.Tensor]) -> None:
    adapter = make(hesitant, restore=0.0, teacher_momentum=0.9)
    adapter.step(batch(6, seed=3))
    tensors = adapter.state().tensors
    for name in adapter.adapted_parameters:
        expected = 0.9 * hesitant[name] + 0.1 * tensors[f"student.{name}"]
        assert torch.allclose(adapter.delta()[name], expected, atol=1e-7)
    assert torch.equal(adapter.predict(batch(6)).score, adapter.model.predict(batch(6)).score)
    assert not torch.equal(tensors[f"student.{BIAS}"], hesitant[BIAS])


def test_restored_share_is_the_rate_and_restored_values_are_the_source() -> None:
    teacher = LiveTensors(tiny_model(), dict(tiny_model().named_parameters()))
    student = StudentTensors(teacher)
    for value in student.values.values():
        value += 1.0
    student.restore_share(0.05, torch.Generator().manual_seed(0))
    back = torch.cat([(v == student.source[n]).flatten() for n, v in student.values.items()])
    kept = torch.cat([(v == student.source[n] + 1.0).flatten() for n, v in student.values.items()])
    assert bool((back | kept).all())
    deviation = (0.05 * 0.95 / len(back)) ** 0.5
    assert abs(float(back.float().mean()) - 0.05) < 4 * deviation


def test_a_rate_of_one_keeps_the_student_at_the_source(hesitant: dict[str, torch.Tensor]) -> None:
    adapter = make(hesitant, restore=1.0)
    _, report = adapter.step(batch(6, seed=3))
    assert report.drift > 0
    assert all(torch.equal(adapter.state().tensors[f"student.{n}"], hesitant[n]) for n in adapter.adapted_parameters)


def test_a_sure_source_is_left_exactly_as_it_is() -> None:
    adapter = registry.create("cotta", Micro(), card())
    before = {k: v.clone() for k, v in adapter.model.state_dict().items()}
    for _ in range(20):
        _, report = adapter.step(micro_batch(1.0, -1.0))
        assert report.skipped_reason == "student and teacher agree"
    assert all(torch.equal(v, before[k]) for k, v in adapter.model.state_dict().items())


def test_student_and_draws_survive_a_stop(hesitant: dict[str, torch.Tensor]) -> None:
    stream = [batch(6, seed=i, first=6 * i) for i in range(6)]
    one, two, three = (make(hesitant) for _ in range(3))
    for some in stream[:3]:
        two.step(some)
    three.load_state(two.state())
    whole = [one.step(some)[0].score for some in stream]
    rest = [three.step(some)[0].score for some in stream[3:]]
    assert all(torch.equal(a, b) for a, b in zip(whole[3:], rest, strict=True))
    ends = one.state().tensors, three.state().tensors
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0] | ends[1])


def test_what_counts_as_unsure_comes_from_source_validation() -> None:
    known = card().model_copy(update={"evidence": GateEvidence(quantiles={"entropy": (0.0, 0.1, 0.2)})})
    assert unsure_from(CottaSettings(quantile=0.75), known) == pytest.approx(0.15)
    assert unsure_from(CottaSettings(max_entropy_fraction=0.3), known) == 0.3
    assert unsure_from(CottaSettings(), card()) == 0.4


def blob(there: torch.Tensor) -> Batch:
    """Captures that are dark but for one bright spot, in the same place in every image."""
    some = batch(len(there), present=there)
    for m, images in some.images.items():
        images.fill_(-1.0)
        images[:, :, 6:12, 18:24] = 1.0
        images *= there[:, list(some.images).index(m)].view(-1, 1, 1, 1)
    return some


def test_views_move_the_images_of_a_capture_together_and_mix_no_depths() -> None:
    some = blob(torch.ones(20, 3, dtype=torch.bool))
    seen = strong_view(some, SPEC, torch.Generator().manual_seed(1))
    grid = torch.stack(torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij"))
    centres = []
    for images in seen.images.values():
        middle = (images[:, :1].amax((2, 3), True) + images[:, :1].amin((2, 3), True)) / 2
        spot = (images[:, :1] > middle).float()
        centres.append((grid * spot).sum((2, 3)) / spot.sum((2, 3)))
    assert float((centres[0] - centres[1]).abs().max()) < 1.0
    assert float((centres[2] - centres[1]).abs().max()) < 1.0
    assert float(centres[1].std(dim=0).min()) > 1.0
    depth = next(images for m, images in seen.images.items() if m.value == "depth")
    assert set(depth.unique().tolist()) <= {-1.0, 0.0, 1.0}


def test_views_are_drawn_from_the_generator_alone_and_gaps_stay_empty() -> None:
    there = torch.tensor([[True, True, True], [True, False, False]])
    whole, gap = blob(torch.ones(2, 3, dtype=torch.bool)), blob(there)
    one, two = (strong_view(some, SPEC, torch.Generator().manual_seed(1)).images for some in (whole, gap))
    modalities = list(one)
    assert torch.equal(one[modalities[0]], two[modalities[0]])
    assert not bool(two[modalities[1]][1].any())
    assert not bool(two[modalities[2]][1].any())
