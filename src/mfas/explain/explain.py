"""One capture to everything there is to say about its verdict: attribution, influence, maps, and how far to trust them.

Principles from Agarwal, *Rethinking Explainability in the Era of Multimodal AI* (arXiv 2506.13060): modality influence,
synergistic faithfulness, unified stability. `docs/explaining.md` says what is the paper's and what is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mfas.core import Batch, Modality
from mfas.errors import InputError
from mfas.explain.checks import deletion, stability
from mfas.explain.coalitions import coalition_logits, players, stands_in
from mfas.explain.influence import influence
from mfas.explain.record import Attribution, EmptyValue, Synergy
from mfas.explain.saliency import cell_maps
from mfas.explain.settings import DEFAULTS, ExplainSettings
from mfas.explain.shapley import Coalition, interactions, shapley
from mfas.models.contract import FasModel


@dataclass(frozen=True, slots=True)
class Explanation:
    """The record, and per modality present the map of its cells, float32 ``[h, w]``, in logits."""

    record: Attribution
    maps: Mapping[Modality, NDArray[np.float32]]


def explain(
    model: FasModel,
    batch: Batch,
    empty: EmptyValue,
    *,
    accepted: bool,
    settings: ExplainSettings = DEFAULTS,
    seed: int = 0,
) -> Explanation:
    """Explain the fused logit of the one capture of ``batch``; the model must be in eval mode and is not changed.

    ``empty`` is the value of no modality (`mfas.explain.empty`), ``accepted`` the decision that was taken. ``seed``
    draws the disturbances and the random orders: the same seed gives the same numbers. Raises `InputError` for anything
    but one capture with at least one modality.
    """
    if len(batch) != 1:
        raise InputError(f"expected one capture to explain, got {len(batch)}")
    names = players(batch)
    generator = torch.Generator().manual_seed(seed)
    values: dict[Coalition, float] = {frozenset(): empty.logit}
    values |= {some: float(logit[0]) for some, logit in coalition_logits(model, batch).items()}
    whole = frozenset(names)
    maps = cell_maps(model, batch, [whole, *(whole - {m} for m in names if len(names) > 1)], settings)
    record = Attribution(
        values=values,
        absent=stands_in(model, batch),
        empty=empty,
        phi=shapley(values),
        interactions=interactions(values),
        influence=influence(maps),
        synergy=synergy(values, accepted),
        stability=stability(model, batch, values, settings, generator),
        deletion=deletion(model, batch, maps[whole], accepted, settings, generator),
        saliency=settings.saliency,
    )
    return Explanation(record, {m: x.float().cpu().numpy() for m, x in maps[whole].items()})


def synergy(values: Mapping[Coalition, float], accepted: bool) -> Synergy:
    """Efficiency of the Shapley values, and what the decision loses with its strongest witness; see `Synergy`."""
    sign = 1.0 if accepted else -1.0
    whole = max(values, key=len)
    phi = shapley(values)
    gap = abs(values[whole] - values[frozenset()] - sum(phi.values()))
    top = max(phi, key=lambda m: sign * phi[m])
    return Synergy(gap, top, sign * (values[whole] - values[whole - {top}]))
