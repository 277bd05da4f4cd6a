"""Label smoothing against values worked by hand, and that it reaches the loss of every model."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import exp, log

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from mfas.models import registry
from mfas.models.contract import LossStep
from mfas.models.smoothing import Smoothing, smooth, smooth_adversarially, softened
from mfas.models.trunks import cross_entropy, head_loss
from mfas.training.loop import LoopConfig
from toys import batch, target_of, tiny_model, trained

LIVE, ATTACK = torch.tensor([1.0]), torch.tensor([0.0])


def step(amount: float, kind: Smoothing = "standard") -> LossStep:
    return LossStep(torch.Generator().manual_seed(0), amount, smoothing=kind)


def slope(logit: float, target: Tensor, told: LossStep) -> float:
    """Of the cross-entropy at ``logit``."""
    at = torch.tensor([logit], dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(cross_entropy(at, target.double(), told), at)
    return float(found)


def sigmoid(logit: float) -> float:
    return 1 / (1 + exp(-logit))


def test_standard_smoothing_by_hand() -> None:
    """(1 - a) onehot(y) + a / K for K = 2 and a = 0.2: 0.9 of a live face is live, 0.1 of an attack."""
    assert smooth(torch.tensor([1.0, 0.0]), 0.2).tolist() == pytest.approx([0.9, 0.1])
    assert smooth(torch.tensor([1.0, 0.0]), 0.0).tolist() == [1.0, 0.0]
    assert smooth(torch.tensor([1.0, 0.0]), 1.0).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("amount", [0.05, 0.2, 0.45])
def test_adversarial_is_twice_the_standard_where_the_model_is_right_and_nothing_where_it_errs(amount: float) -> None:
    target, right = torch.tensor([1.0, 0.0]), torch.tensor([2.0, -0.1])
    assert torch.allclose(smooth_adversarially(target, amount, right), smooth(target, 2 * amount))
    assert torch.allclose(smooth_adversarially(target, amount, -right), target)
    assert torch.allclose(smooth_adversarially(target, amount, torch.zeros(2)), smooth(target, amount))


def test_cross_entropy_by_hand() -> None:
    p = sigmoid(1.5)
    logit = torch.tensor([1.5], dtype=torch.float64)
    assert float(cross_entropy(logit, LIVE.double(), step(0.2))) == pytest.approx(-0.9 * log(p) - 0.1 * log(1 - p))
    told = step(0.2, "adversarial")
    assert float(cross_entropy(logit, LIVE.double(), told)) == pytest.approx(-0.8 * log(p) - 0.2 * log(1 - p))
    assert float(cross_entropy(logit, ATTACK.double(), told)) == pytest.approx(-log(1 - p))


@pytest.mark.parametrize(("kind", "spared"), [("standard", 0.1), ("adversarial", 0.2)])
def test_gradients_at_known_points(kind: Smoothing, spared: float) -> None:
    """The slope of a logit is its probability less the target; it is zero where the probability has reached that."""
    told, reached = step(0.2, kind), log((1 - spared) / spared)
    assert slope(3.0, LIVE, told) == pytest.approx(sigmoid(3.0) - (1 - spared))
    assert slope(-3.0, ATTACK, told) == pytest.approx(sigmoid(-3.0) - spared)
    assert slope(reached, LIVE, told) == pytest.approx(0.0, abs=1e-7)
    assert slope(reached + 1, LIVE, told) > 0, "surer than it should be: pulled back"
    wrong = 0.0 if kind == "adversarial" else spared
    assert slope(-3.0, LIVE, told) == pytest.approx(sigmoid(-3.0) - (1 - wrong))


def test_no_gradient_flows_through_the_choice_of_class() -> None:
    logit = torch.tensor([0.7], requires_grad=True)
    assert not smooth_adversarially(LIVE, 0.3, logit).requires_grad


def test_heads_choose_each_for_itself() -> None:
    """One head right, one wrong, one absent: only the first one's label is softened."""
    logits, present = torch.tensor([[2.0, -2.0, 5.0]]), torch.tensor([[True, True, False]])
    expected = bce(torch.tensor([2.0]), torch.tensor([0.7])) + bce(torch.tensor([-2.0]), torch.tensor([1.0]))
    assert float(head_loss(logits, present, LIVE, step(0.3, "adversarial"))) == pytest.approx(float(expected))
    plain = bce(torch.tensor([2.0]), LIVE) + bce(torch.tensor([-2.0]), LIVE)
    assert float(head_loss(logits, present, LIVE)) == pytest.approx(float(plain))


@pytest.mark.parametrize("name", registry.names())
def test_amount_and_kind_reach_the_loss_of_every_model(name: str) -> None:
    some, target = batch(8), target_of(8)
    told = replace(step(0.0), sites=torch.arange(8) % 2, epochs=2)
    losses = []
    for amount, kind in ((0.0, "standard"), (0.0, "adversarial"), (0.3, "standard"), (0.3, "adversarial")):
        again = replace(told, generator=torch.Generator().manual_seed(0), label_smoothing=amount, smoothing=kind)
        torch.manual_seed(0)
        losses.append(float(tiny_model(name).training_loss(some, target, again).detach()))
    assert losses[0] == losses[1], "nothing to give away"
    assert len(set(losses[1:])) == 3


@pytest.mark.parametrize("name", ["late_fusion", "mfas_danet"])
def test_a_model_that_is_right_throughout_sees_no_difference_between_the_kinds(name: str) -> None:
    model, some, target = trained(name), batch(8, seed=5), target_of(8)

    def loss(amount: float, kind: Smoothing) -> float:
        torch.manual_seed(0)
        return float(model.training_loss(some, target, step(amount, kind)).detach())

    assert loss(0.1, "adversarial") == pytest.approx(loss(0.2, "standard"), rel=1e-5)
    assert loss(0.1, "adversarial") != pytest.approx(loss(0.1, "standard"), rel=1e-3)


def test_soft_pseudo_labels_by_hand() -> None:
    """The other class gets a = (1 - r) / 2: nothing of a sure label, half of one that knows nothing."""
    reliability = torch.tensor([1.0, 0.8, 0.0])
    assert softened(torch.ones(3), reliability).tolist() == pytest.approx([1.0, 0.9, 0.5])
    assert softened(torch.zeros(3), reliability).tolist() == pytest.approx([0.0, 0.1, 0.5])
    for other, r in zip((0.0, 0.1, 0.5), reliability.tolist(), strict=True):
        assert other == pytest.approx(0.5 * (1 - r))


@pytest.mark.parametrize("amount", [-0.01, 0.5, 1.0, float("nan")])
def test_amounts_outside_the_range_are_refused(amount: float) -> None:
    with pytest.raises(ValidationError, match="label_smoothing"):
        LoopConfig(label_smoothing=amount)


def test_kinds_that_do_not_exist_are_refused_and_the_default_is_what_it_was() -> None:
    with pytest.raises(ValidationError, match="smoothing"):
        LoopConfig.model_validate({"smoothing": "uniform"})
    assert (LoopConfig().label_smoothing, LoopConfig().smoothing) == (0.05, "standard")


def test_smoothed_training_ends_less_sure() -> None:
    """Forty steps on the toy classes: the surest score falls as the amount rises."""
    surest = []
    for amount in (0.0, 0.2, 0.45):
        model = tiny_model("late_fusion").train()
        optimiser = torch.optim.Adam(model.parameters(), 1e-2)
        told = step(amount)
        for number in range(40):
            optimiser.zero_grad()
            model.training_loss(batch(16, seed=number), target_of(16), told).backward()
            optimiser.step()
        surest.append(float(model.eval().predict(batch(16, seed=99)).score.max()))
    assert all(high > low for high, low in pairwise(surest))
