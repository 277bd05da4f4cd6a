"""Captures of an offline fit by index: their images as batches, and their lower maps, computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mfas.card import Preprocess
from mfas.core import MODALITIES, Batch, CaptureIds, Modality
from mfas.models.contract import FasModel, check_batch

_CHUNK = 32


class CapturePool:
    """The captures of a sequence of batches, in order, any of which can be asked for. The sequence may be lazy."""

    def __init__(self, batches: Sequence[Batch], spec: Preprocess) -> None:
        self._batches = batches
        self._spec = spec
        self._places = [(number, row) for number, some in enumerate(batches) for row in range(len(some))]

    def __len__(self) -> int:
        return len(self._places)

    def batch(self, index: Sequence[int]) -> Batch:
        """The captures at ``index``, in that order; all three modalities are in ``images``, gaps zero."""
        wanted = [self._places[i] for i in index]
        parts = {number: self._batches[number] for number in dict.fromkeys(number for number, _ in wanted)}
        starts, total = {}, 0
        for number, some in parts.items():
            starts[number] = total
            total += len(some)
        joined = join(list(parts.values()), self._spec)
        return joined.select(torch.tensor([starts[number] + row for number, row in wanted], dtype=torch.long))

    def chunks(self) -> Iterator[tuple[range, Batch]]:
        """All captures in order."""
        for start in range(0, len(self), _CHUNK):
            index = range(start, min(start + _CHUNK, len(self)))
            yield index, self.batch(index)


@dataclass(frozen=True, slots=True)
class LabelledPool:
    """Captures of the source; ``genuine`` bool ``[S]``, true = bona fide."""

    captures: CapturePool
    genuine: Tensor


class MapPool:
    """Lower maps of a pool's captures, float16 as a method's memory keeps them; right while no lower part moves."""

    def __init__(self, model: FasModel, pool: CapturePool) -> None:
        kept: dict[Modality, list[Tensor]] = {m: [] for m in MODALITIES}
        seen: list[Tensor] = []
        with torch.no_grad():
            for _, batch in pool.chunks():
                check_batch(batch)
                maps = model.lower(batch)
                shape = next(iter(maps.values())).shape
                for m in MODALITIES:
                    kept[m].append(maps[m].half().contiguous() if m in maps else torch.zeros(shape).half())
                seen.append(batch.present)
        self._maps = {m: torch.cat(parts) for m, parts in kept.items()}
        self.present = torch.cat(seen)
        """Bool ``[N, 3]``."""

    def __len__(self) -> int:
        return len(self.present)

    def take(self, index: Tensor) -> tuple[dict[Modality, Tensor], Tensor]:
        """Maps of all three modalities (zero where absent) and presence of the captures at ``index`` (long ``[B]``)."""
        return {m: x[index].float() for m, x in self._maps.items()}, self.present[index]

    def chunks(self) -> Iterator[Tensor]:
        """Indices of all captures in order."""
        return _parts(torch.arange(len(self)), _CHUNK)


def join(batches: Sequence[Batch], spec: Preprocess) -> Batch:
    """One batch of several; all three modalities are in ``images``, gaps zero."""
    images = {}
    for m in MODALITIES:
        parts = [
            some.images[m] if m in some.images else torch.zeros(len(some), spec.channels(m), spec.size, spec.size)
            for some in batches
        ]
        images[m] = torch.cat(parts)
    names = ("capture_id", "presentation_id", "subject", "session", "timestamp")
    ids = CaptureIds(*(tuple(x for some in batches for x in getattr(some.ids, name)) for name in names))
    return Batch(images, torch.cat([some.present for some in batches]), ids)


def shuffled(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """One pass over ``count`` captures in random order, ``size`` at a time; the last may be fewer."""
    return _parts(torch.randperm(count, generator=generator), size)


def _parts(index: Tensor, size: int) -> Iterator[Tensor]:
    return (index[start : start + size] for start in range(0, len(index), size))
