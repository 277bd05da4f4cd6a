"""Uncertainty across modalities: entropy of each head, and how much the heads disagree.

From `methods` 1.4.4 of our reconstruction of MFAS-DANet (arXiv 2509.23475), restricted to *observed* modalities: an
imputed feature borrows from its witnesses and may not vote. All quantities are fractions of ln 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

_LN2 = log(2.0)


@dataclass(frozen=True, slots=True)
class Assessment:
    """Per capture, floats ``[B]``: ``mean`` = weighted mean probability of bona fide, the rest in [0, 1].

    ``uncertainty`` = H(mean)/ln 2 = ``disagreement`` + weighted mean of the heads' own normalised entropies.
    """

    mean: Tensor
    uncertainty: Tensor
    disagreement: Tensor
    reliability: Tensor


def binary_entropy(p: Tensor) -> Tensor:
    """Entropy of a Bernoulli variable over ln 2, in [0, 1].

    >>> binary_entropy(torch.tensor([0.5, 1.0])).tolist()
    [1.0, 0.0]
    """
    nats: Tensor = torch.special.xlogy(p, p) + torch.special.xlogy(1 - p, 1 - p)
    return nats.abs() / _LN2


def assess(scores: Tensor, present: Tensor) -> Assessment:
    """Weigh the heads of observed modalities.

    ``scores`` float ``[B, 3]`` in [0, 1] (anything finite where not observed), ``present`` bool ``[B, 3]``. Each head
    weighs ``1 - entropy``; where all are undecided they weigh the same.
    """
    scores = torch.where(present, scores, torch.full_like(scores, 0.5))
    entropy = binary_entropy(scores)
    weight = torch.where(present, (1 - entropy).clamp_min(1e-6), torch.zeros_like(entropy))
    weight = weight / weight.sum(dim=1, keepdim=True).clamp_min(1e-12)
    mean = (weight * scores).sum(dim=1).clamp(0.0, 1.0)
    uncertainty = binary_entropy(mean).clamp(0.0, 1.0)
    disagreement = (uncertainty - (weight * entropy).sum(dim=1)).clamp(0.0, 1.0)
    return Assessment(mean, uncertainty, disagreement, 1 - uncertainty)
