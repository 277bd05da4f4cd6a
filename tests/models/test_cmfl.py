"""Cross-modal focal loss against values computed by hand from the paper's formula."""

from __future__ import annotations

from math import log

import pytest
import torch

from mfas.models.cmfl import confidence, cross_modal_focal

LIVE, ATTACK = torch.tensor([1.0]), torch.tensor([0.0])


def focal(probabilities: list[float], seen: list[bool], target: torch.Tensor, gamma: float = 3.0) -> float:
    """The loss of one capture whose heads give ``probabilities`` of bona fide."""
    logits = torch.logit(torch.tensor([probabilities], dtype=torch.float64))
    target = target.double()
    return float(cross_modal_focal(logits, torch.tensor([seen]), target, target.expand_as(logits), 1.0, gamma))


def term(p: float, q: float) -> float:
    """One direction of the paper: true-class probabilities of the head that learns and of the other."""
    return (1 - q * 2 * p * q / (p + q)) ** 3 * -log(p)


def test_confidence_is_not_symmetric_and_needs_both() -> None:
    p, q = torch.tensor(0.9), torch.tensor(0.6)
    assert float(confidence(p, q)) == pytest.approx(0.6 * 0.72)
    assert float(confidence(q, p)) == pytest.approx(0.9 * 0.72)
    assert float(confidence(torch.tensor(1.0), torch.tensor(1.0))) == 1.0
    assert float(confidence(torch.tensor(0.0), torch.tensor(0.0))) == 0.0


def test_two_modalities_are_the_sum_of_both_directions() -> None:
    assert focal([0.9, 0.6, 0.5], [True, True, False], LIVE) == pytest.approx(term(0.9, 0.6) + term(0.6, 0.9))
    assert focal([0.1, 0.5, 0.4], [True, False, True], ATTACK) == pytest.approx(term(0.9, 0.6) + term(0.6, 0.9))


def test_three_are_half_the_sum_over_pairs_and_one_is_cross_entropy() -> None:
    p = (0.9, 0.6, 0.3)
    pairs = sum(term(p[m], p[n]) for m in range(3) for n in range(3) if m != n)
    assert focal(list(p), [True, True, True], LIVE) == pytest.approx(pairs / 2)
    assert focal([0.9, 0.6, 0.3], [False, False, True], LIVE) == pytest.approx(-log(0.3))
    assert focal([0.9, 0.6, 0.5], [True, True, False], LIVE, gamma=0.0) == pytest.approx(-log(0.9) - log(0.6))


def test_a_sure_partner_takes_the_loss_off_a_head_and_an_unsure_one_leaves_it() -> None:
    logits = torch.logit(torch.tensor([[0.8, 0.99, 0.5], [0.8, 0.01, 0.5]])).requires_grad_()
    present = torch.tensor([[True, True, False]] * 2)
    cross_modal_focal(logits, present, torch.ones(2), torch.ones(2, 3), 1.0, 3.0).backward()
    assert logits.grad is not None
    sure, unsure = logits.grad[:, 0].abs().tolist()
    assert sure < 0.1 * unsure
    assert logits.grad[:, 2].tolist() == [0.0, 0.0]
