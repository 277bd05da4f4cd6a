"""Is an attribution worth anything: deletion of cells in the order of the maps, and stability under small disturbances.

Deletion: Petsiuk, Das, Saenko, *RISE* (BMVC 2018), jointly over the cells of all modalities. Stability: after the
unified stability of arXiv 2506.13060, whose formula was not visible; ours stands in `mfas.explain.record.Stability`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfas.core import Batch, CaptureIds, Modality
from mfas.explain.coalitions import coalition_logits, logits, players
from mfas.explain.record import Deletion, Stability
from mfas.explain.saliency import CellMaps, cell_side, flattened
from mfas.explain.settings import ExplainSettings
from mfas.explain.shapley import Coalition, shapley
from mfas.models.contract import FasModel

_FLOOR = 0.1
"""Logits: below this a move of the value is not told from none."""


def deletion(
    model: FasModel, batch: Batch, maps: CellMaps, accepted: bool, settings: ExplainSettings, generator: torch.Generator
) -> Deletion:
    """Flatten the cells of one capture, most telling first, and compare with ``random_orders`` orders by chance.

    Most telling is what speaks most for the decision, ``accepted`` or not; for ``gradient`` maps, without a sign, the
    largest.
    """
    sign = 1.0 if accepted else -1.0
    stacked = torch.stack([maps[m] for m in players(batch)])
    first = stacked if settings.saliency == "gradient" else sign * stacked
    chance = torch.rand((settings.random_orders, *stacked.shape), generator=generator).to(first)
    orders = torch.cat([first[None], chance])
    areas = sign * _areas(model, batch, orders, settings)
    mapped, others = float(areas[0]), areas[1:]
    return Deletion(mapped, float(others.mean()), float((others < mapped).double().mean()))


def _areas(model: FasModel, batch: Batch, orders: Tensor, settings: ExplainSettings) -> Tensor:
    """Mean loss of the logit ``[O]`` for cell scores ``[O, modalities, h, w]``, over shares between none and all."""
    names = players(batch)
    count = orders[0].numel()
    place = orders.flatten(1).argsort(dim=1, descending=True, stable=True).argsort(dim=1).view(orders.shape)
    limits = [round(count * k / settings.deletion_steps) for k in range(1, settings.deletion_steps)]
    gone = torch.stack([place < limit for limit in limits], dim=1).flatten(0, 1)
    images = {}
    for column, m in enumerate(names):
        plane = batch.images[m]
        side, size = cell_side(plane.shape[-1], settings.cells), plane.shape[-1]
        mask = gone[:, column].repeat_interleave(side, 1).repeat_interleave(side, 2)[:, None, :size, :size]
        images[m] = torch.where(mask, flattened(plane), plane)
    present = batch.present.expand(len(gone), -1)
    after = logits(model, Batch(images, present, CaptureIds.anonymous(len(gone)))).double()
    before = logits(model, batch).double()
    return (before - after).view(len(orders), -1).mean(dim=1)


def stability(
    model: FasModel,
    batch: Batch,
    values: Mapping[Coalition, float],
    settings: ExplainSettings,
    generator: torch.Generator,
) -> Stability:
    """Disturb all modalities of one capture together, ``draws`` times; ``values`` are those of the capture as it is."""
    disturbed = _disturbed(batch, settings, generator)
    whole = max(values, key=len)
    games: dict[Coalition, NDArray[np.float64]] = {
        some: found.cpu().numpy() for some, found in coalition_logits(model, disturbed).items()
    }
    games[frozenset()] = np.full(settings.draws, values[frozenset()])
    before, after = shapley(values), shapley(games)
    change = np.max([np.abs(after[m] - before[m]) for m in before], axis=0)
    shift = np.abs(games[whole] - values[whole])
    ratio = float((change / (shift + _FLOOR)).mean())
    return Stability(ratio, float(change.mean()), float(shift.mean()), settings.noise, settings.draws)


def _disturbed(batch: Batch, settings: ExplainSettings, generator: torch.Generator) -> Batch:
    """``draws`` copies with white noise; depth stays unmeasured where it was."""
    images = {}
    for m in players(batch):
        plane = batch.images[m].expand(settings.draws, -1, -1, -1)
        noise = settings.noise * torch.randn(plane.shape, generator=generator).to(plane)
        if m is Modality.DEPTH:
            noise = torch.cat([noise[:, :1] * plane[:, 1:], torch.zeros_like(noise[:, 1:])], dim=1)
        images[m] = plane + noise
    return Batch(images, batch.present.expand(settings.draws, -1), CaptureIds.anonymous(settings.draws))
