"""Uncertainty across modalities: entropy of each head, and how much the heads disagree.

From `methods` 1.4.4 of our reconstruction of MFAS-DANet (arXiv 2509.23475), restricted to *observed* modalities: an
imputed feature borrows from its witnesses and may not vote. All quantities are fractions of ln 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from mfas.core import MODALITIES, Modality

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


@torch.no_grad()
def complement_residuals(
    features: Mapping[Modality, Tensor], complements: Mapping[Modality, Tensor], present: Tensor
) -> Tensor:
    """How far each observed feature is from what the others made of it: 1 - cosine, ``[B, 3]`` in [0, 2].

    Arguments as in `mfas.models.contract.ModelOutput`. NaN where a modality was not observed, or where the model drew
    no complement for it (none at all, or zeros).
    """
    columns = []
    for column, modality in enumerate(MODALITIES):
        nothing = torch.full(present.shape[:1], float("nan"), device=present.device)
        if modality in features and modality in complements:
            own, drawn = features[modality].detach(), complements[modality].detach()
            known = present[:, column] & (drawn != 0).any(dim=1)
            far = (1 - cosine_similarity(own, drawn, dim=1)).clamp(0.0, 2.0)
            columns.append(torch.where(known, far, nothing.to(far)))
        else:
            columns.append(nothing)
    return torch.stack(columns, dim=1)
