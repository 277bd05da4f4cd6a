"""What an offline method is fitted on in the bench: captures of a stream, unlabelled, and labelled ones of the source.

Both are made from decoded captures when they are asked for, so that no stream is held as pixels twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfas.adaptation.offline import LabelledBatch
from mfas.benchmark.bench_captures import Captures, arrival_ids
from mfas.benchmark.sources import read_sources
from mfas.benchmark.stream import StreamItem
from mfas.card import Preprocess
from mfas.core import Batch, Label
from mfas.data.dataset import CachedTensors
from mfas.errors import ManifestError

_BATCH = 32


class Arriving(Sequence[Batch]):
    """The captures at ``places`` of a stream, each a batch of one, as a stream method would see them."""

    def __init__(
        self,
        captures: Captures,
        items: Sequence[StreamItem],
        present: Tensor,
        subjects: Sequence[str],
        places: NDArray[np.int64],
    ) -> None:
        self._captures, self._items, self._present = captures, items, present
        self._subjects, self._places = subjects, places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Batch: ...
    @overload
    def __getitem__(self, index: slice) -> list[Batch]: ...
    def __getitem__(self, index: int | slice) -> Batch | list[Batch]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        place = int(self._places[index])
        some = [self._items[place]]
        ids = arrival_ids(some, [place], [self._subjects[place]])
        return self._captures.batch(some, self._captures.stream, self._present[[place]], ids)[0]


class LabelledSource(Sequence[LabelledBatch]):
    """Captures of the sources' ``train`` split with their classes: at most ``most``, half of each class.

    Raises `ManifestError` when a class is missing.
    """

    def __init__(self, paths: Sequence[Path], spec: Preprocess, most: int, seed: int) -> None:
        manifest = read_sources(paths, require_labels=True).filter(split="train")
        label, rng = manifest.column("label"), np.random.default_rng(seed)
        chosen = []
        for kind in Label:
            rows = np.flatnonzero(label == kind.value)
            if not len(rows):
                raise ManifestError(f"expected {kind.value} captures in split 'train' of the sources, got none")
            chosen.append(rng.permutation(rows)[: most // 2])
        self._tensors = CachedTensors(manifest.take(np.sort(np.concatenate(chosen))), spec)
        answered = self._tensors.manifest.column("label")[self._tensors.rows] == Label.BONA_FIDE.value
        self._genuine = torch.from_numpy(np.asarray(answered, dtype=np.bool_))

    def __len__(self) -> int:
        return -(-len(self._tensors) // _BATCH)

    @overload
    def __getitem__(self, index: int) -> LabelledBatch: ...
    @overload
    def __getitem__(self, index: slice) -> list[LabelledBatch]: ...
    def __getitem__(self, index: int | slice) -> LabelledBatch | list[LabelledBatch]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        start = range(len(self))[index] * _BATCH
        end = min(start + _BATCH, len(self._tensors))
        return LabelledBatch(self._tensors.batch(range(start, end)), self._genuine[start:end])
