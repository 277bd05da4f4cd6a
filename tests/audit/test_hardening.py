"""Noise in training: towards the wrong class, within the audit's budgets, the same whenever it is asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from mfas.audit.hardening import NoiseConfig, TrainingNoise
from mfas.audit.space import Budgets, scale_of
from mfas.core import MODALITIES, Batch, Modality
from mfas.errors import InputError
from mfas.models.contract import Shard
from toys import SPEC, batch, tiny_model
from victims import WEIGHTS, Closed, Linear

EVERY = TrainingNoise(NoiseConfig(share=1.0, of="both"), SPEC)


def middle(count: int = 6) -> Batch:
    """Captures far from the ends of every sensor's range, depth measured everywhere."""
    images = {m: torch.zeros(count, SPEC.channels(m), SPEC.size, SPEC.size) for m in MODALITIES}
    images[Modality.DEPTH][:, 1] = 1.0
    return Batch(images, torch.ones(count, 3, dtype=torch.bool), batch(count).ids)


def moved(after: Batch, before: Batch) -> dict[Modality, torch.Tensor]:
    return {m: after.images[m] - before.images[m] for m in MODALITIES}


def test_attacks_move_towards_living_and_living_towards_attack() -> None:
    target = torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    shown = middle()
    change = moved(EVERY(Linear(), shown, target, Shard(), 0), shown)
    for modality in MODALITIES:
        step = scale_of(modality, SPEC).full * Budgets().of(modality)
        sign = torch.tensor(WEIGHTS[modality]).sign().view(1, -1, 1, 1)
        towards = change[modality] * sign
        assert bool((change[modality].abs() <= step + 1e-6).all())
        # 1.25 budgets from anywhere between -1 and 1 budget end at a quarter at least, and most at the edge
        assert bool((towards[:3] >= 0.25 * step * sign.abs() - 1e-6).all())
        assert bool((towards[3:] <= -0.25 * step * sign.abs() + 1e-6).all())
        assert float((towards[:3].amax(dim=(0, 2, 3)) - (step * sign.abs()).flatten()).abs().max()) < 1e-6


def test_attacks_alone_unless_told() -> None:
    shown, target = middle(), torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    change = moved(TrainingNoise(NoiseConfig(share=1.0), SPEC)(Linear(), shown, target, Shard(), 0), shown)
    assert all(bool((d[:3].flatten(1).abs().amax(dim=1) > 0).all()) for d in change.values())
    assert not any(bool(d[3:].any()) for d in change.values())


def test_a_share_of_the_batch_and_nothing_else() -> None:
    shown, target = middle(400), torch.zeros(400)
    after = TrainingNoise(NoiseConfig(share=0.25), SPEC)(Linear(), shown, target, Shard(), 3)
    touched = torch.stack([d.flatten(1).abs().amax(dim=1) > 0 for d in moved(after, shown).values()], dim=1)
    assert bool((touched.any(dim=1) == touched.all(dim=1)).all())
    assert 60 <= int(touched.all(dim=1).sum()) <= 140


def test_seed_and_step_decide_and_the_model_is_left_alone() -> None:
    model = tiny_model("mfas_danet").train()
    shown, target = batch(6), torch.tensor([0.0, 1.0] * 3)
    before = {name: x.clone() for name, x in model.state_dict().items()}
    one, again = (EVERY(model, shown, target, Shard(), 5) for _ in range(2))
    other = EVERY(model, shown, target, Shard(), 6)
    assert all(torch.equal(one.images[m], again.images[m]) for m in MODALITIES)
    assert any(not torch.equal(one.images[m], other.images[m]) for m in MODALITIES)
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())
    assert not any(x.requires_grad for x in one.images.values())


def test_what_is_not_there_stays_away() -> None:
    shown = replace(batch(4), present=torch.tensor([[True, False, True]] * 4))
    after = EVERY(tiny_model("late_fusion"), shown, torch.zeros(4), Shard(), 0)
    assert torch.equal(after.images[Modality.DEPTH], shown.images[Modality.DEPTH])
    assert not torch.equal(after.images[Modality.IR], shown.images[Modality.IR])


def test_a_model_without_slopes_is_refused() -> None:
    with pytest.raises(InputError, match="expected a model whose score has gradients"):
        EVERY(Closed(), middle(), torch.zeros(6), Shard(), 0)


def test_no_budget_is_refused() -> None:
    with pytest.raises(ValidationError):
        NoiseConfig.model_validate({"share": 0.5, "budget": {"ir": 0}})
