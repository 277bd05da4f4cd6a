"""Transitions between modalities: differences of their unit features, and losses that tell live ones from others.

For CTNet (arXiv 2507.05575). The formulas are those of a public code base of its authors' laboratory; that they are
the paper's is inferred (`docs/methods/ctnet.md`).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from mfas.core import MODALITIES, Modality

TRANSITIONS: tuple[tuple[Modality, Modality], ...] = (
    (Modality.RGB, Modality.IR),
    (Modality.DEPTH, Modality.RGB),
    (Modality.IR, Modality.DEPTH),
)
"""(from, to) of the three transitions; each is the unit feature of ``to`` minus that of ``from``."""


def units(features: Mapping[Modality, Tensor]) -> Tensor:
    """Features ``[B, D]`` per modality to unit length, ``[B, 3, D]`` in canonical order; a zero row stays zero."""
    return torch.stack([normalize(features[m], dim=1) for m in MODALITIES], dim=1)


def transitions(unit: Tensor) -> Tensor:
    """Unit features ``[..., 3, D]`` to transitions ``[..., 3, D]`` in the order of `TRANSITIONS`."""
    pairs = [(MODALITIES.index(start), MODALITIES.index(end)) for start, end in TRANSITIONS]
    return torch.stack([unit[..., end, :] - unit[..., start, :] for start, end in pairs], dim=-2)


def known(available: Tensor) -> Tensor:
    """Which transitions have both ends: bool ``[B, 3]`` over modalities to bool ``[B, 3]`` over `TRANSITIONS`."""
    pairs = [(MODALITIES.index(start), MODALITIES.index(end)) for start, end in TRANSITIONS]
    return torch.stack([available[:, start] & available[:, end] for start, end in pairs], dim=1)


def consistency(live: Tensor, rows: Tensor) -> Tensor:
    """Sum over transitions of the mean of ``1 - cos`` over ordered pairs of different live captures.

    ``live`` ``[B, 3, D]``, ``rows`` bool ``[B, 3]``: which transitions of which captures count. A transition that
    fewer than two captures have adds nothing.
    """
    direction = normalize(live, dim=2) * rows[:, :, None]
    count = rows.sum(dim=0).to(live.dtype)
    # |sum of unit vectors|^2 = n + the sum of their cosines over ordered pairs
    cosines = direction.sum(dim=0).square().sum(dim=1) - count
    mean = cosines / (count * (count - 1)).clamp_min(1)
    total: Tensor = ((1 - mean) * (count > 1)).sum()
    return total


def alignment(vectors: Tensor, prototypes: Tensor, rows: Tensor) -> Tensor:
    """Sum over the second axis of the mean of ``|cos|`` to a prototype: 0 where vectors are orthogonal to it.

    ``vectors`` ``[B, 3, D]``, ``prototypes`` ``[3, D]``, ``rows`` bool ``[B, 3]``.
    """
    cosines = cosine_similarity(vectors, prototypes[None], dim=2).abs() * rows
    total: Tensor = (cosines.sum(dim=0) / rows.sum(dim=0).clamp_min(1)).sum()
    return total


def distance(vectors: Tensor, prototypes: Tensor, rows: Tensor) -> Tensor:
    """``s = sum of (1 - cos) / 2 + length / 2`` of the difference from live transitions, ``[B]``; higher = stranger.

    Where only some transitions are known their mean stands for the others; 0 where none is.
    """
    apart = 1 - cosine_similarity(vectors, prototypes[None], dim=2)
    length = torch.linalg.vector_norm(vectors - prototypes[None], dim=2)
    each = (0.5 * apart + 0.5 * length) * rows
    total: Tensor = each.sum(dim=1) * len(TRANSITIONS) / rows.sum(dim=1).clamp_min(1)
    return total
