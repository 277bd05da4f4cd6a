"""Coalitions of modalities as batches: the same capture with some modalities taken away."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mfas.core import MODALITIES, Batch, CaptureIds, Modality
from mfas.errors import InputError
from mfas.explain.record import Absent
from mfas.explain.shapley import Coalition, coalitions
from mfas.models.contract import FasModel, ModelOutput

ROWS_AT_ONCE = 64
"""Rows of one pass through the network: enough for speed, little enough for a large backbone's memory."""


def players(batch: Batch) -> tuple[Modality, ...]:
    """The modalities that the captures of ``batch`` have; `InputError` if they differ or there are none."""
    first = batch.present[:1]
    if len(batch) == 0 or not bool(first.any()):
        raise InputError("expected a capture with at least one modality to explain, got none")
    if not bool((batch.present == first).all()):
        raise InputError("expected captures with the same modalities, got different ones")
    return tuple(m for k, m in enumerate(MODALITIES) if bool(first[0, k]))


def tile(batch: Batch, patterns: Sequence[Coalition]) -> Batch:
    """All captures under ``patterns[0]``, then all under ``patterns[1]``, ...; what is taken away is zero."""
    here = torch.tensor([[m in some for m in MODALITIES] for some in patterns], device=batch.present.device)
    present = here.repeat_interleave(len(batch), dim=0)
    images = {
        m: x.repeat(len(patterns), 1, 1, 1) * present[:, MODALITIES.index(m)].view(-1, 1, 1, 1)
        for m, x in batch.images.items()
    }
    return Batch(images, present, CaptureIds.anonymous(len(present)))


@torch.no_grad()
def logits(model: FasModel, batch: Batch) -> Tensor:
    """Fused logits ``[B]``, in passes of `ROWS_AT_ONCE`."""
    count = len(batch)
    parts = [torch.arange(start, min(start + ROWS_AT_ONCE, count)) for start in range(0, count, ROWS_AT_ONCE)]
    return torch.cat([model(batch.select(rows)).logit for rows in parts])


def coalition_logits(model: FasModel, batch: Batch) -> dict[Coalition, Tensor]:
    """Fused logit, float64 ``[B]``, of every non-empty coalition; the model must be in eval mode.

    What is not in a coalition is missing to the model, which substitutes its complements where it has any.
    """
    patterns = coalitions(players(batch))[1:]
    found = logits(model, tile(batch, patterns)).double().view(len(patterns), len(batch))
    return dict(zip(patterns, found, strict=True))


@torch.no_grad()
def stands_in(model: FasModel, batch: Batch) -> Absent:
    """What the model puts in the place of what the capture lacks, or would lack without one more modality."""
    names = players(batch)
    whole = frozenset(names)
    patterns = [whole - {m} for m in names] if len(names) > 1 else [whole]
    output: ModelOutput = model(tile(batch.select(torch.tensor([0])), patterns))
    filled = output.substituted[~output.present]
    if filled.numel() and bool(filled.all()):
        return "complements"
    return "some_complements" if bool(filled.any()) else "as_missing"
