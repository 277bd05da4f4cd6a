"""The search behind every perturbation: right where the optimum is known, in bounds, never weaker for more effort."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from pydantic import ValidationError

from mfas.audit.ascent import AscentSettings, ascend
from mfas.audit.kinds import PerturbSettings, perturb
from mfas.audit.objectives import fused
from mfas.audit.space import Ball, Budgets, scale_of
from mfas.audit.strength import scaled
from mfas.core import MODALITIES, Batch, Modality
from mfas.errors import ConfigError, InputError
from toys import SPEC, batch, target_of
from victims import IR_ONLY, WEIGHTS, Closed, Linear, planted, toy_victim

QUICK = PerturbSettings(steps=6, restarts=2)


def attacks(count: int = 6, seed: int = 3) -> Batch:
    """Toy attacks with depth that is measured but for a corner."""
    some = batch(count, seed, target=torch.zeros(count))
    depth = some.images[Modality.DEPTH].clamp(-0.9, 0.9)
    depth[:, 1] = 1.0
    depth[:, :, :5, :5] = 0.0
    return replace(some, images={**some.images, Modality.DEPTH: depth})


def middle() -> Batch:
    """Captures far from the ends of every sensor's range, depth measured everywhere."""
    images = {m: torch.zeros(4, SPEC.channels(m), SPEC.size, SPEC.size) for m in MODALITIES}
    images[Modality.DEPTH][:, 1] = 1.0
    return Batch(images, torch.ones(4, 3, dtype=torch.bool), batch(4).ids)


@pytest.mark.parametrize("modality", list(Modality))
def test_a_linear_model_is_attacked_as_well_as_can_be(modality: Modality) -> None:
    victim = planted(Linear())
    found = perturb(victim, middle(), modality.value, PerturbSettings(steps=8, restarts=1))
    step = scale_of(modality, SPEC).full.flatten() * Budgets().of(modality)
    best = float((torch.tensor(WEIGHTS[modality]).abs() * step).sum())
    assert torch.allclose(found.value - found.clean, torch.full((4,), best), atol=1e-4)
    short = perturb(victim, middle(), modality.value, PerturbSettings(steps=1, restarts=1))
    assert float((short.value - short.clean).max()) < 0.6 * best


def test_budgets_in_the_units_of_the_sensors() -> None:
    shown = attacks()
    found = perturb(planted(Linear()), shown, "all", QUICK).batch.images
    moved = {m: (found[m] - shown.images[m]).abs() for m in MODALITIES}
    assert float(moved[Modality.RGB].max()) == pytest.approx(8 / 255 / 0.25, rel=1e-4)
    assert float(moved[Modality.IR].max()) == pytest.approx(8 / 255 * SPEC.ir_clip / SPEC.ir_std, rel=1e-4)
    # 4 of 255 steps over 30 cm
    assert float(moved[Modality.DEPTH].max()) * SPEC.depth_clip_m == pytest.approx(4 / 255 * 0.3, rel=1e-4)
    assert float(moved[Modality.DEPTH][:, 1].max()) == 0.0
    assert float(moved[Modality.DEPTH][:, :, :5, :5].max()) == 0.0


def test_values_stay_within_what_a_sensor_can_give() -> None:
    images = {m: scale_of(m, SPEC).high.expand(2, -1, SPEC.size, SPEC.size).clone() for m in MODALITIES}
    shown = Batch(images, torch.ones(2, 3, dtype=torch.bool), batch(2).ids)
    ball = Ball(shown, SPEC, Budgets(rgb=64, depth=64, ir=64), dict.fromkeys(MODALITIES, 1.0))
    drawn = ball.random(torch.Generator().manual_seed(0))
    for modality, x in drawn.items():
        scale = scale_of(modality, SPEC)
        assert bool((x <= scale.high).all())
        assert bool((x >= scale.low).all())
        far = ball.project(modality, x + 100)
        assert torch.equal(far, images[modality])


def test_absent_modalities_are_not_touched() -> None:
    present = torch.tensor([[True, False, True]] * 6)
    shown = replace(attacks(), present=present)
    found = perturb(toy_victim(), shown, "all", QUICK).batch
    assert torch.equal(found.images[Modality.DEPTH], shown.images[Modality.DEPTH])
    assert torch.equal(found.present, present)
    nothing = perturb(toy_victim(), shown, "depth", QUICK)
    assert torch.equal(nothing.value, nothing.clean)


def test_more_steps_and_more_restarts_are_never_worse() -> None:
    victim, shown = toy_victim("mfas_danet"), attacks()
    values = [perturb(victim, shown, "all", PerturbSettings(steps=n, restarts=1)).value for n in (1, 3, 8, 16)]
    for before, after in pairwise(values):
        assert bool((after >= before).all())
    assert float(values[-1].mean()) > float(values[0].mean()) + 0.01
    values = [perturb(victim, shown, "all", PerturbSettings(steps=3, restarts=n)).value for n in (1, 2, 4)]
    for before, after in pairwise(values):
        assert bool((after >= before).all())


def test_more_budget_finds_more() -> None:
    victim, shown = toy_victim("mfas_danet"), attacks()
    found = [
        perturb(victim, shown, "all", QUICK.model_copy(update={"budget": scaled(QUICK.budget, f)}))
        for f in (0.25, 1.0, 4.0)
    ]
    means = [float(one.value.mean()) for one in found]
    assert means[0] < means[1] < means[2]
    assert all(bool((one.value >= one.clean).all()) for one in found)


def test_restarts_are_random_and_used() -> None:
    """At the clean image this objective is flat: only a start elsewhere sees a slope."""
    shown = middle()

    def hill(some: Batch) -> torch.Tensor:
        return some.images[Modality.IR].mean(dim=(1, 2, 3)).square()

    def gain(restarts: int, seed: int = 0) -> torch.Tensor:
        ball = Ball(shown, SPEC, Budgets(), {Modality.IR: 1.0})
        return ascend(shown, ball, hill, AscentSettings(steps=4, restarts=restarts), seed).value

    assert float(gain(1).max()) == 0.0
    assert float(gain(2).min()) > 0.0
    assert torch.equal(gain(2), gain(2))
    one, other = (
        Ball(shown, SPEC, Budgets(), {Modality.IR: 1.0}).random(torch.Generator().manual_seed(n)) for n in (0, 1)
    )
    assert not torch.equal(one[Modality.IR], other[Modality.IR])


def test_a_model_that_looks_at_infrared_alone_falls_there_alone() -> None:
    victim, shown = planted(Linear(IR_ONLY)), attacks()
    for name in ("rgb", "depth"):
        found = perturb(victim, shown, name, QUICK)
        assert torch.equal(found.value, found.clean)
    big = QUICK.model_copy(update={"budget": Budgets(ir=120)})
    found = perturb(victim, shown, "ir", big)
    assert bool((found.clean < 0).all())
    assert bool((found.value > 0).all())


def test_the_objective_is_what_the_model_answers() -> None:
    victim, shown = toy_victim(), attacks()
    found = perturb(victim, shown, "all", QUICK)
    assert torch.allclose(torch.sigmoid(found.value), victim.model.predict(found.batch).score, atol=1e-5)
    with torch.no_grad():
        assert torch.allclose(found.clean, fused(victim)(shown), atol=1e-5)


def test_the_model_is_left_as_it_was() -> None:
    victim = toy_victim()
    before = {name: value.clone() for name, value in victim.model.state_dict().items()}
    perturb(victim, attacks(), "all", QUICK)
    assert all(torch.equal(value, before[name]) for name, value in victim.model.state_dict().items())
    assert all(parameter.requires_grad for parameter in victim.model.parameters())
    assert all(parameter.grad is None for parameter in victim.model.parameters())


def test_what_cannot_be_attacked_is_refused() -> None:
    with pytest.raises(InputError, match="gradients"):
        perturb(planted(Closed()), attacks(), "all", QUICK)
    with pytest.raises(ConfigError, match="got 'sonar'"):
        perturb(planted(Linear()), attacks(), "sonar", QUICK)
    with pytest.raises(ValidationError, match="greater than 0"):
        Budgets(rgb=0)


def test_toy_classes_are_told_apart_before_they_are_attacked() -> None:
    score = toy_victim("mfas_danet").model.predict(batch(16, seed=9)).score
    assert float(((score > 0.5) == (target_of(16) > 0)).float().mean()) >= 0.9
