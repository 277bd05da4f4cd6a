"""The value of the empty coalition: what the model would say had it seen nothing in particular.

A model gives no answer without any modality. Its origin is therefore the fused logit on the mean lower maps of source
captures, all modalities taken as present: the capture that is like all of them and like none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from mfas.core import MODALITIES, Batch, CaptureIds, Modality
from mfas.errors import InputError
from mfas.explain.record import EmptyValue
from mfas.models.contract import FasModel


@torch.no_grad()
def source_mean(model: FasModel, batches: Iterable[Batch], sources: Sequence[str] = ()) -> EmptyValue:
    """Fused logit on the mean lower maps of all captures of ``batches``; the model must be in eval mode.

    A map's mean is over the captures that have the modality; a modality that none has stays absent. ``sources`` are the
    sites the captures came from. Raises `InputError` when there are no captures.
    """
    totals: dict[Modality, Tensor] = {}
    counts = dict.fromkeys(MODALITIES, 0)
    captures = 0
    for batch in batches:
        captures += len(batch)
        for m, maps in model.lower(batch).items():
            counts[m] += int(batch.present[:, MODALITIES.index(m)].sum())
            total = maps.double().sum(dim=0, keepdim=True)  # rows without the modality are zero
            totals[m] = totals[m] + total if m in totals else total
    if not captures:
        raise InputError("expected captures to take the mean features of, got none")
    kind = next(model.parameters()).dtype
    means = {m: (total / counts[m]).to(kind) for m, total in totals.items()}
    return EmptyValue(_fused(model, means), "source_mean", captures, tuple(sources))


@torch.no_grad()
def zero_maps(model: FasModel, modalities: Sequence[Modality] = MODALITIES) -> EmptyValue:
    """Fused logit on lower maps of zero: for models whose card holds no source mean."""
    size = model.spec.size
    images = {m: torch.zeros(1, model.spec.channels(m), size, size) for m in modalities}
    present = torch.tensor([[m in images for m in MODALITIES]])
    maps = model.lower(Batch(images, present, CaptureIds.anonymous(1)))
    return EmptyValue(_fused(model, {m: torch.zeros_like(x) for m, x in maps.items()}), "zero_maps")


def _fused(model: FasModel, maps: dict[Modality, Tensor]) -> float:
    present = torch.tensor([[m in maps for m in MODALITIES]], device=next(iter(maps.values())).device)
    return float(model.upper(maps, present).logit[0])
