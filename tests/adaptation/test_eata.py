"""EATA: loss and gradient by hand, and its two filters."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
import pytest
import torch

import by_hand
from mfas.adaptation import registry
from mfas.adaptation.contract import Adapter
from mfas.adaptation.eata import COLLECTING, REDUNDANT
from mfas.adaptation.norm_method import UNRELIABLE
from toys import Micro, card, micro_batch

LIMIT = 0.4 * log(2)
SURE, UNSURE = 0.002, 0.0005
"""Levels with logits of 4.3 and 1.2: entropies of 0.07 and 0.53 nats."""


def make(**settings: Any) -> Adapter:
    return registry.create("eata", Micro(), card(), {"momentum": 0.0, "learning_rate": 0.05, **settings})


def step_by_hand(levels: list[float], theta: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean of exp(E0 - H) H over captures under the limit, and its slope with the weight held constant."""
    z = by_hand.logit(levels, theta)
    h = by_hand.entropy(z)
    keep = h < LIMIT
    weight = np.exp(LIMIT - h[keep])
    gradient = (weight * by_hand.entropy_slope(z[keep])) @ by_hand.slopes(np.asarray(levels)[keep]) / keep.sum()
    return float((weight * h[keep]).mean()), gradient


def test_loss_gradient_and_fisher_penalty_by_hand() -> None:
    first, then = [SURE, -0.0012, UNSURE, 0.003], [0.0011, -SURE, UNSURE]
    adapter = make(redundancy="off", fisher_weight=40.0, fisher_captures=3)
    assert adapter.step(micro_batch(*first))[1].skipped_reason == COLLECTING
    reliable = [SURE, -0.0012, 0.003]
    slope = 1 / (1 + np.exp(np.abs(by_hand.logit(reliable))))  # of the cross-entropy with its own label, by the logit
    fisher = np.square(slope[:, None] * by_hand.slopes(reliable)).mean(axis=0)
    theta = by_hand.SOURCE
    for levels in (then, first, then):
        loss, gradient = step_by_hand(levels, theta)
        loss += 40.0 * float(fisher @ np.square(theta - by_hand.SOURCE))
        gradient = gradient + 80.0 * fisher * (theta - by_hand.SOURCE)
        report = adapter.step(micro_batch(*levels))[1]
        assert report.loss == pytest.approx(loss, rel=1e-4)
        moved = by_hand.theta_of(adapter.model.state_dict()) - theta
        assert moved == pytest.approx(-0.05 * gradient, rel=1e-3, abs=1e-7)
        theta = theta + moved
    assert 40.0 * float(fisher @ np.square(theta - by_hand.SOURCE)) > 1e-4, "the penalty must have mattered"


def test_unreliable_and_redundant_captures_do_not_teach() -> None:
    with_more, without = make(fisher_weight=0.0), make(fisher_weight=0.0)
    for full, kept in (([SURE, UNSURE], [SURE]), ([0.003, UNSURE, -SURE], [-SURE])):
        assert with_more.step(micro_batch(*full))[1].updated
        assert without.step(micro_batch(*kept))[1].updated
        assert all(torch.equal(value, without.delta()[name]) for name, value in with_more.delta().items())
    before = with_more.delta()
    assert make(fisher_weight=0.0).step(micro_batch(UNSURE, -UNSURE))[1].skipped_reason == UNRELIABLE
    assert with_more.step(micro_batch(0.002, 0.003))[1].skipped_reason == REDUNDANT
    assert all(torch.equal(value, before[name]) for name, value in with_more.delta().items())


def test_the_published_redundancy_filter_freezes_two_classes() -> None:
    """The cosine of two-class probabilities with a balanced average is never under 0.7, so features are the default."""
    adapter = make(fisher_weight=0.0, redundancy="probabilities", max_similarity=0.05)
    assert adapter.step(micro_batch(SURE, -SURE))[1].updated
    assert {adapter.step(micro_batch(SURE, -0.003, 0.004, -SURE))[1].skipped_reason for _ in range(5)} == {REDUNDANT}


def test_no_published_limit_of_a_thousand_classes() -> None:
    """0.4 ln 1000 is above ln 2 and would let everything teach."""
    assert make(fisher_weight=0.0).step(micro_batch(0.0, 1e-5))[1].skipped_reason == UNRELIABLE


def test_a_capture_with_fewer_sensors_is_compared_on_those_it_has() -> None:
    adapter = make(fisher_weight=0.0)
    adapter.step(micro_batch(SURE, SURE))
    some = micro_batch(0.003)
    only_rgb = type(some)(some.images, torch.tensor([[True, False, False]]), some.ids)
    assert adapter.step(only_rgb)[1].skipped_reason == REDUNDANT
