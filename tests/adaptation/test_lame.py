"""LAME: a case of three captures solved by hand, and who is a neighbour of whom."""

from __future__ import annotations

from math import log

import numpy as np
import torch

from mfas.adaptation.lame import affinity, agree
from mfas.core import MODALITIES


def test_three_captures_by_hand() -> None:
    """Neighbours 0 <-> 1, 2 -> 0. The scores (0.8, 0.6, 0.3) are the fixed point for these logits:

    z_i = logit(y_i) - (2 y_j - 1) of the one neighbour j. It is the only one: the map has slope 1/2 at most.
    """
    angles = torch.tensor([0.0, 0.1, -0.3])
    feature = torch.stack([angles.cos(), angles.sin()], dim=1)
    features = dict.fromkeys(MODALITIES, 7 * feature)
    weights = affinity(features, torch.tensor([[True, False, False]]).expand(3, 3), neighbours=1)
    assert weights.tolist() == [[0, 1, 0], [1, 0, 0], [1, 0, 0]]
    logit = torch.tensor([log(4.0) - 0.2, log(1.5) - 0.6, log(3 / 7) - 0.6], dtype=torch.float64)
    assert torch.allclose(agree(logit, weights, 100), torch.tensor([0.8, 0.6, 0.3]).double(), atol=1e-8)


def test_one_logit_is_the_published_softmax() -> None:
    """Y <- softmax(log p + W Y) over two classes, in numpy."""
    rng = np.random.default_rng(0)
    logit, weights = rng.normal(size=12), (rng.random((12, 12)) < 0.3).astype(float)
    p = 1 / (1 + np.exp(-logit))
    unary = np.log(np.stack([p, 1 - p], axis=1))
    y = np.exp(unary)
    for _ in range(7):
        y = np.exp(unary + weights @ y)
        y /= y.sum(axis=1, keepdims=True)
    assert np.allclose(agree(torch.from_numpy(logit), torch.from_numpy(weights), 7).numpy(), y[:, 0], atol=1e-12)


def test_captures_without_a_common_sensor_are_never_neighbours() -> None:
    present = torch.tensor([[True, False, False], [False, True, False], [True, True, False]])
    same = {m: torch.ones(3, 4) for m in MODALITIES}
    assert affinity(same, present, neighbours=5).tolist() == [[0, 0, 1], [0, 0, 1], [1, 1, 0]]
    alone = {m: x[:1] for m, x in same.items()}
    assert affinity(alone, present[:1], neighbours=5).tolist() == [[0]]
