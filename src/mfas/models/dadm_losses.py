"""What aligns modalities and sites in DADM: the information bound, the angle margins, the pull of hyperplanes."""

from __future__ import annotations

from itertools import combinations
from math import log

import torch
from torch import Tensor
from torch.nn.functional import normalize

LIVE_COSINE, ATTACK_COSINE = 1.0, 0.85
"""Cosines between captures of two sites: bona fide faces agree, attacks keep a margin."""


def information_bound(a: Tensor, b: Tensor) -> Tensor:
    r"""Donsker-Varadhan bound with the critic $T(a, b) = (a + b) / 2$, mean over dimensions; ``[N, D]`` each.

    $E_{joint}[T] - \log E_{product}[e^T]$. The product of the marginals is all $N^2$ pairs, for which the sum splits;
    the published code draws one random shuffle of each. Never positive: the first term knows the marginals only.

    >>> float(information_bound(torch.ones(4, 2), torch.zeros(4, 2)))
    0.0
    """
    joint = (a.mean(dim=0) + b.mean(dim=0)) / 2
    return (joint - _log_mean_exp(a / 2) - _log_mean_exp(b / 2)).mean()


def angle_margin(features: Tensor, present: Tensor, live: Tensor, sites: Tensor) -> Tensor:
    """Angles between captures of different sites and the same class; 0 where there is no such pair.

    ``features`` ``[B, 3, D]``, ``present`` bool ``[B, 3]``, ``live`` bool ``[B]``, ``sites`` int ``[B]``. Mean squared
    distance of the cosine of the same modality from `LIVE_COSINE` or `ATTACK_COSINE`, plus mean squared difference of
    the cosines between two modalities of a capture.
    """
    unit = normalize(features, dim=2)
    pairs = ((sites[:, None] != sites) & (live[:, None] == live)).triu()
    goal = torch.where(live, LIVE_COSINE, ATTACK_COSINE)[:, None]
    across, counted = torch.einsum("imd,jmd->mij", unit, unit), pairs & _both(present)
    total = _mean((across - goal).square(), counted)
    couples = list(combinations(range(features.shape[1]), 2))
    within = torch.stack([(unit[:, m] * unit[:, n]).sum(dim=1) for m, n in couples], dim=1)
    seen = torch.stack([present[:, m] & present[:, n] for m, n in couples], dim=1)
    difference = within.T[:, :, None] - within.T[:, None, :]
    return total + _mean(difference.square(), pairs & _both(seen))


@torch.no_grad()
def pull_together(hyperplanes: Tensor, rate: float) -> Tensor:
    """One step of projected-gradient IRM on ``[E, D]``: each direction moves to the one it points least along.

    ``normalise((1 - rate) * own + rate * farthest)``, all at once; lengths stay.
    """
    length = hyperplanes.norm(dim=1, keepdim=True)
    unit = normalize(hyperplanes, dim=1)
    farthest = unit[(unit @ unit.T).argmin(dim=1)]
    pulled: Tensor = normalize((1 - rate) * unit + rate * farthest, dim=1) * length
    return pulled


def _log_mean_exp(x: Tensor) -> Tensor:
    return x.logsumexp(dim=0) - log(len(x))


def _both(seen: Tensor) -> Tensor:
    """``[B, K]`` to ``[K, B, B]``: true where both captures have it."""
    return seen.T[:, :, None] & seen.T[:, None, :]


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    return (values * counted).sum() / counted.sum().clamp_min(1)
