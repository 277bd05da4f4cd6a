"""Granger-style influence: how the map of one modality changes when another is taken away (arXiv 2506.13060).

The paper names the principle; the formula is ours: GI(m -> n) = 1 - cos(e_n(M), e_n(M without m)), where e_n are the
absolute values of n's cell map.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn.functional import cosine_similarity

from mfas.core import MODALITIES, Modality
from mfas.explain.saliency import CellMaps
from mfas.explain.shapley import Coalition

_NOTHING = 1e-6
"""A map whose mass is below this share of all maps' holds rounding only."""


def influence(maps: Mapping[Coalition, CellMaps]) -> dict[Modality, dict[Modality, float]]:
    """``[m][n]`` in [0, 1] for every ordered pair; empty for a single modality.

    ``maps`` holds the whole coalition and each that lacks one modality. Where n has no map to speak of with or without
    m the influence is 0, where it has one in one case only it is 1.
    """
    whole = max(maps, key=len)
    floor = _NOTHING * max(float(x.abs().sum()) for x in maps[whole].values()) * len(whole)
    found: dict[Modality, dict[Modality, float]] = {}
    for m in (m for m in MODALITIES if m in whole and len(whole) > 1):
        left = maps[whole - {m}]
        found[m] = {n: _turned(maps[whole][n], left[n], floor) for n in MODALITIES if n in left}
    return found


def _turned(one: Tensor, other: Tensor, floor: float) -> float:
    empty = [float(x.abs().sum()) <= floor for x in (one, other)]
    if any(empty):
        return 0.0 if all(empty) else 1.0
    cosine = cosine_similarity(one.abs().double().flatten(), other.abs().double().flatten(), dim=0)
    return min(1.0, max(0.0, 1.0 - float(cosine)))
