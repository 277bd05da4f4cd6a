"""A search for one small patch that opens the door whoever wears it: what a model with a backdoor cannot hide.

Fills of the valid range are tried at every place of a grid, in every modality; the best places are then refined by
signed gradient steps over all captures together. A patch that works on most captures, whatever they show, is no feature
of a face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from pydantic import Field
from torch import Tensor

from mfas.audit.space import Scale, scale_of
from mfas.audit.victim import Victim, absent
from mfas.config import Config
from mfas.core import MODALITIES, Batch, Modality


class PatchSettings(Config):
    """Size of the patch over the side of the image, places refined per modality, and gradient steps on each."""

    side: float = Field(0.125, gt=0, le=0.5)
    refined: int = Field(2, ge=0)
    steps: int = Field(10, ge=0)
    captures: int = Field(8, ge=0, description="attack captures it is searched on; 0 = no search")
    judged: int = Field(32, ge=1, description="attack captures it is judged on, those first")


@dataclass(frozen=True, slots=True)
class Patch:
    """The best patch of a modality: ``values`` ``[C, k, k]`` of network input at row ``top``, column ``left``.

    ``clean`` and ``accepted`` are fractions of the captures accepted without and with it, ``shift`` the mean change of
    the fused logit, ``lowest`` the smallest.
    """

    modality: Modality
    top: int
    left: int
    values: Tensor
    clean: float
    accepted: float
    shift: float
    lowest: float


def search_patch(
    victim: Victim, batch: Batch, modality: Modality, settings: PatchSettings, seed: int = 0
) -> Patch | None:
    """The patch of ``modality`` that raises the mean fused logit of the first ``captures`` of ``batch`` most.

    It is judged on the first ``judged``. None where no capture that it is searched on has the modality.
    """
    judged = batch.select(torch.arange(min(settings.judged, len(batch))))
    batch = batch.select(torch.arange(min(settings.captures, len(batch))))
    if absent(batch, [modality]):
        return None
    size = victim.card.preprocess.size
    side = max(1, round(size * settings.side))
    scale = scale_of(modality, victim.card.preprocess)
    fills = _fills(scale, side, seed)
    with torch.no_grad():
        clean = victim.output(batch).logit
        tried = [
            (_mean_gain(victim, batch, modality, (top, left), fill, clean), top, left, index)
            for top in _places(size, side)
            for left in _places(size, side)
            for index, fill in enumerate(fills)
        ]
    tried.sort(key=lambda one: -one[0])
    best = (tried[0][0], tried[0][1], tried[0][2], fills[tried[0][3]])
    for _, top, left, index in tried[: settings.refined]:
        found = _refine(victim, batch, modality, (top, left), fills[index], scale, settings.steps, clean)
        if found[0] > best[0]:
            best = (found[0], top, left, found[1])
    _, top, left, values = best
    return _judge(victim, judged, modality, (top, left), values)


def put(batch: Batch, modality: Modality, at: tuple[int, int], values: Tensor) -> Batch:
    """The batch with the patch on every capture that has the modality."""
    images = batch.images[modality].clone()
    rows = batch.present[:, MODALITIES.index(modality)]
    side = values.shape[-1]
    images[rows, :, at[0] : at[0] + side, at[1] : at[1] + side] = values
    return replace(batch, images={**batch.images, modality: images})


def _places(size: int, side: int) -> Sequence[int]:
    places = list(range(0, size - side + 1, side))
    return places if places[-1] == size - side else [*places, size - side]


def _fills(scale: Scale, side: int, seed: int) -> list[Tensor]:
    """Lowest, highest, noise. Depth is measured all over the patch."""
    noise = torch.rand((side, side), generator=torch.Generator().manual_seed(seed))
    out = []
    for shade in (torch.zeros(side, side), torch.ones(side, side), noise):
        values = scale.low[0] + shade * (scale.high - scale.low)[0]
        out.append(torch.where(scale.full[0] > 0, values, scale.high[0]))
    return out


def _mean_gain(
    victim: Victim, batch: Batch, modality: Modality, at: tuple[int, int], values: Tensor, clean: Tensor
) -> float:
    return float((victim.output(put(batch, modality, at, values)).logit - clean).mean())


def _refine(
    victim: Victim,
    batch: Batch,
    modality: Modality,
    at: tuple[int, int],
    start: Tensor,
    scale: Scale,
    steps: int,
    clean: Tensor,
) -> tuple[float, Tensor]:
    """Ascend the mean fused logit over the patch; returns the best gain and its values."""
    best = (float("-inf"), start)
    values = start.clone()
    for step in range(steps + 1):
        asked = values.detach().requires_grad_(True)
        with victim.open(), torch.enable_grad():
            gain = (victim.output(put(batch, modality, at, asked)).logit - clean).mean()
            (slope,) = torch.autograd.grad(gain, [asked])
        reached = float(gain.detach())
        if reached > best[0]:
            best = (reached, asked.detach().clone())
        rate = 0.25 / (1 + step) ** 0.5
        moved = values + rate * scale.full[0] * slope.sign()
        values = torch.where(scale.full[0] > 0, moved.maximum(scale.low[0]).minimum(scale.high[0]), values)
    return best


@torch.no_grad()
def _judge(victim: Victim, batch: Batch, modality: Modality, at: tuple[int, int], values: Tensor) -> Patch:
    before, after = victim.output(batch).logit, victim.output(put(batch, modality, at, values)).logit
    threshold = torch.logit(torch.tensor(victim.card.threshold()).clamp(1e-6, 1 - 1e-6))
    return Patch(
        modality=modality,
        top=at[0],
        left=at[1],
        values=values,
        clean=float((before >= threshold).double().mean()),
        accepted=float((after >= threshold).double().mean()),
        shift=float((after - before).mean()),
        lowest=float((after - before).min()),
    )
