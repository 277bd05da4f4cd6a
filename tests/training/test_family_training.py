"""Family heads learn: after the model without touching it, and with it in three ways."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor

from mfas.core import Family, Label
from mfas.models.contract import FasModel, LossStep
from mfas.models.families import FamilyHeads, fused_features, fused_width
from mfas.training.families import (
    FamilyConfig,
    WithFamilies,
    collect_features,
    family_loss,
    fit_heads,
    without_conflict,
)
from mfas.training.validation import PatternScores, step_up_bands
from toys import batch, target_of, tiny_model

NAMES = (Family.PRINT, Family.REPLAY)


def targets(count: int) -> Tensor:
    """Of the toy classes: every second capture is an attack, half of them prints."""
    rows = [[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]
    return torch.tensor([rows[i % 4] for i in range(count)])


def beside(way: str, weight: float = 0.5) -> WithFamilies:
    base = tiny_model()
    torch.manual_seed(1)
    heads = FamilyHeads(fused_width(base), NAMES, 4)
    return WithFamilies(base, heads, FamilyConfig(way=way, weight=weight)).train()  # type: ignore[arg-type]


def gradients(model: WithFamilies, wanted: Tensor | None) -> dict[str, Tensor]:
    """What one step leaves in ``.grad``; dropout draws from the same chance every time."""
    model.zero_grad()
    torch.manual_seed(2)
    step = LossStep(torch.Generator().manual_seed(0), families=wanted)
    model.training_step(batch(8), target_of(8), step, lambda loss: loss.backward())
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_a_gradient_loses_only_what_conflicts() -> None:
    base = [torch.tensor([1.0, 0.0]), torch.tensor([0.0])]
    kept = without_conflict([torch.tensor([2.0, 1.0]), torch.tensor([3.0])], base)
    assert [x.tolist() for x in kept] == [[2.0, 1.0], [3.0]]
    cut = without_conflict([torch.tensor([-2.0, 1.0]), torch.tensor([3.0])], base)
    assert [x.tolist() for x in cut] == [[0.0, 1.0], [3.0]]


def test_the_loss_of_a_head_leaves_out_what_nobody_knows() -> None:
    logits = torch.tensor([[0.0, 1.0], [5.0, -1.0]])
    known = torch.tensor([[1.0, 0.0], [float("nan"), float("nan")]])
    expected = [np.log(2.0), np.log1p(np.exp(1.0))]
    assert family_loss(logits, known).tolist() == pytest.approx(expected)
    assert family_loss(logits, torch.full((2, 2), float("nan"))).tolist() == [0.0, 0.0]


def test_joint_learning_adds_to_the_models_own_gradient_and_projection_never_against_it() -> None:
    alone = gradients(beside("naive"), None)
    naive, projected = (gradients(beside(way, weight=200.0), targets(8)) for way in ("naive", "projection"))
    shared = [name for name in alone if name.startswith("base.")]

    def along(found: dict[str, Tensor]) -> float:
        return float(sum(((found[name] - alone[name]) * alone[name]).sum() for name in shared))

    scale = float(sum(alone[name].square().sum() for name in shared))
    assert any(not torch.equal(naive[name], alone[name]) for name in shared)
    assert along(projected) > -1e-4 * max(scale, 1.0)
    if along(naive) < 0:
        assert along(projected) > along(naive)
    else:
        assert along(projected) == pytest.approx(along(naive), rel=1e-4)


def test_without_targets_the_model_learns_as_it_does_alone() -> None:
    base = tiny_model().train()
    torch.manual_seed(2)
    base.training_step(batch(8), target_of(8), LossStep(torch.Generator().manual_seed(0)), lambda x: x.backward())
    with_heads = gradients(beside("naive"), None)
    for name, parameter in base.named_parameters():
        assert torch.equal(with_heads[f"base.{name}"], parameter.grad), name
    assert not any(name.startswith("family_heads.") for name in with_heads)


def test_one_head_at_random_learns_at_a_time_and_each_gets_its_turn() -> None:
    moved, model = set(), beside("random_head")
    for count in range(1, 7):
        found = gradients(model, targets(8))
        assert int(model.drawn) == count
        heads = {name.split(".")[2] for name, g in found.items() if name.startswith("family_heads.") and g.any()}
        assert len(heads) == 1
        moved |= heads
    assert moved == {"print", "replay"}


def shown(model: FasModel) -> tuple[Tensor, Tensor]:
    """Features of attacks that are brighter by kind, of which a head can learn."""
    rng = torch.Generator().manual_seed(0)
    both = []
    for seed in range(3):
        some, wanted = batch(32, seed), targets(32)
        replay = wanted[:, 1].view(-1, 1, 1, 1)
        images = {m: x + 2 * replay + 0.01 * torch.randn(x.shape, generator=rng) for m, x in some.images.items()}
        both.append((type(some)(images, some.present, some.ids), wanted))
    return collect_features(model, both, seed=0)


def test_after_the_model_nothing_of_it_moves_and_the_heads_tell_families_apart() -> None:
    model = tiny_model()
    before = deepcopy(model.state_dict())
    features, wanted = shown(model)
    assert features.shape == (2 * 3 * 32, fused_width(model))
    config = FamilyConfig(way="post_hoc", epochs=12, batch_size=64, learning_rate=2e-2)
    heads = fit_heads(model, NAMES, features, wanted, config, seed=0)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    attacks = wanted.sum(dim=1) > 0
    right = heads(features)[attacks].argmax(dim=1) == wanted[attacks].argmax(dim=1)
    assert float(right.float().mean()) > 0.9
    again = fit_heads(model, NAMES, features, wanted, config, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(heads.parameters(), again.parameters(), strict=True))


def test_features_are_collected_with_all_sensors_and_with_fewer() -> None:
    model, some = tiny_model(), batch(4)
    features, _ = collect_features(model, [(some, targets(4))], seed=0)
    with torch.no_grad():
        assert torch.equal(features[:4], fused_features(model(some)))
    assert not torch.equal(features[4:], features[:4])


def test_a_band_is_wrong_as_seldom_as_was_asked() -> None:
    score = np.concatenate([np.linspace(0.3, 1.0, 50), np.linspace(0.0, 0.7, 50)])
    labels = np.array([Label.BONA_FIDE.value] * 50 + [Label.ATTACK.value] * 50)
    names = np.array([f"p{i}" for i in range(100)])
    pattern = {"": PatternScores("", np.arange(100), score, np.full((100, 3), np.nan))}
    low, high = step_up_bands(pattern, labels, names, {"": 0.5}, share=0.1)[""]
    assert low < 0.5 < high
    assert (score[:50] < low).sum() == 5
    assert (score[50:] >= high).sum() == 5
    apart = {"": PatternScores("", np.arange(100), np.repeat([0.9, 0.1], 50), np.full((100, 3), np.nan))}
    assert step_up_bands(apart, labels, names, {"": 0.5}, share=0.1)[""] == (0.5, 0.5)
