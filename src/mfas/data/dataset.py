"""Captures as tensors: the one dataset class, and batches in a given order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mfas.card import Preprocess
from mfas.core import MODALITIES, Batch, CaptureIds, Modality, parse_modalities
from mfas.data.capture import NoFace, load_capture
from mfas.data.manifest import Manifest
from mfas.data.preprocess import Planes, preprocess


@dataclass(frozen=True, slots=True)
class LoadedBatch:
    """A batch and where its captures stand in the manifest (for labels); ``non_responses`` came up on the way to it.

    ``batch`` is None when nothing but non-responses was left (only at the end of a stream).
    """

    batch: Batch | None
    rows: tuple[int, ...]
    non_responses: tuple[NoFace, ...] = ()


class CaptureDataset(Dataset[Planes | NoFace]):
    """Decoded, cropped, preprocessed captures of a manifest.

    ``dataset[i]`` is a dict of float32 arrays ``[C, S, S]`` by modality, or `NoFace` for a capture that cannot be
    scored (no face found, or nothing left once ``missing`` is taken away). Raises `ImageError` for unreadable files.
    """

    def __init__(self, manifest: Manifest, spec: Preprocess, *, missing: str = "", yunet: Path | None = None) -> None:
        self.manifest = manifest
        self.spec = spec
        self.drop = frozenset(parse_modalities(missing))
        self.yunet = yunet

    def __len__(self) -> int:
        return len(self.manifest)

    def __getitem__(self, index: int) -> Planes | NoFace:
        if not 0 <= index < len(self):
            raise IndexError(index)
        row = self.manifest.row(index)
        capture = load_capture(row, self.manifest.root, yunet=self.yunet, drop=self.drop)
        return capture if isinstance(capture, NoFace) else preprocess(capture, self.spec)


def collate(planes: Sequence[Planes], ids: CaptureIds, spec: Preprocess) -> Batch:
    """Stack captures into a `Batch`; a modality that none of them has is left out, gaps are zero."""
    present = torch.tensor([[m in item for m in MODALITIES] for item in planes], dtype=torch.bool)
    images: dict[Modality, Tensor] = {}
    for column, modality in enumerate(MODALITIES):
        if not bool(present[:, column].any()):
            continue
        stack = np.zeros((len(planes), spec.channels(modality), spec.size, spec.size), np.float32)
        for row, item in enumerate(planes):
            if modality in item:
                stack[row] = item[modality]
        images[modality] = torch.from_numpy(stack)
    return Batch(images, present, ids)


def batches(
    manifest: Manifest,
    spec: Preprocess,
    batch_size: int,
    *,
    order: Iterable[int] | None = None,
    missing: str = "",
    workers: int = 0,
    yunet: Path | None = None,
) -> Iterator[LoadedBatch]:
    """Full batches of ``batch_size`` answerable captures in ``order`` (rows of the manifest; default: as it stands).

    Captures that cannot be answered are passed along in ``non_responses`` and do not count towards the size; the last
    batch may be smaller. ``workers`` threads decode ahead; the result does not depend on their number.
    """
    if batch_size < 1:
        raise ValueError(f"expected a batch size of at least 1, got {batch_size}")
    dataset = CaptureDataset(manifest, spec, missing=missing, yunet=yunet)
    rows = range(len(manifest)) if order is None else order
    held: list[Planes] = []
    at: list[int] = []
    lost: list[NoFace] = []
    for index, item in _load(dataset.__getitem__, rows, workers, 4 * batch_size):
        if isinstance(item, NoFace):
            lost.append(item)
            continue
        held.append(item)
        at.append(index)
        if len(held) == batch_size:
            yield LoadedBatch(collate(held, manifest.ids(at), spec), tuple(at), tuple(lost))
            held, at, lost = [], [], []
    if held or lost:
        batch = collate(held, manifest.ids(at), spec) if held else None
        yield LoadedBatch(batch, tuple(at), tuple(lost))


def _load(
    load: Callable[[int], Planes | NoFace], rows: Iterable[int], workers: int, ahead: int
) -> Iterator[tuple[int, Planes | NoFace]]:
    """Load rows in order, ``workers`` threads working at most ``ahead`` captures in advance."""
    if workers < 1:
        for index in rows:
            yield index, load(index)
        return
    waiting: deque[tuple[int, Future[Planes | NoFace]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for index in rows:
                waiting.append((index, pool.submit(load, index)))
                if len(waiting) >= ahead:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()


class CachedTensors:
    """Every answerable capture of a manifest, preprocessed once and held in memory, so that epochs cost no decoding.

    RGB is kept as uint8 pixels of the crop (exact), depth and infrared as float16, validity as uint8. Memory: 8 x S x S
    bytes a capture, 100 kB at S = 112; see `nbytes`. `batch` gives what `batches` gives, up to float16 rounding.
    """

    def __init__(self, manifest: Manifest, spec: Preprocess, *, workers: int = 0, yunet: Path | None = None) -> None:
        self.manifest = manifest
        self.spec = spec
        kept: list[int] = []
        lost: list[NoFace] = []
        count, size = len(manifest), spec.size
        self._rgb = torch.zeros((count, 3, size, size), dtype=torch.uint8)
        self._depth = torch.zeros((count, size, size), dtype=torch.float16)
        self._valid = torch.zeros((count, size, size), dtype=torch.uint8)
        self._ir = torch.zeros((count, size, size), dtype=torch.float16)
        self._present = torch.zeros((count, 3), dtype=torch.bool)
        self._mean = torch.tensor(spec.rgb_mean).view(1, 3, 1, 1)
        self._std = torch.tensor(spec.rgb_std).view(1, 3, 1, 1)
        dataset = CaptureDataset(manifest, spec, yunet=yunet)
        for index, item in _load(dataset.__getitem__, range(count), workers, 64):
            if isinstance(item, NoFace):
                lost.append(item)
                continue
            self._store(len(kept), item)
            kept.append(index)
        self.rows = np.array(kept, np.int64)
        self.non_responses = tuple(lost)
        self._ids = manifest.ids(kept)

    def _store(self, at: int, item: Planes) -> None:
        for column, modality in enumerate(MODALITIES):
            if modality not in item:
                continue
            self._present[at, column] = True
            plane = torch.from_numpy(item[modality])
            if modality is Modality.RGB:
                self._rgb[at] = ((plane * self._std[0] + self._mean[0]) * 255.0).round_().to(torch.uint8)
            elif modality is Modality.DEPTH:
                self._depth[at] = plane[0].half()
                self._valid[at] = plane[1].to(torch.uint8)
            else:
                self._ir[at] = plane[0].half()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def nbytes(self) -> int:
        """Bytes of memory held."""
        held = (self._rgb, self._depth, self._valid, self._ir, self._present)
        return sum(t.numel() * t.element_size() for t in held)

    def batch(self, index: Tensor | Sequence[int], missing: Collection[Modality] = ()) -> Batch:
        """The captures at ``index`` (positions in `rows`); all three modalities are in ``images``, gaps zero."""
        at = torch.as_tensor(index, dtype=torch.long)
        present = self._present[at].clone()
        for modality in missing:
            present[:, MODALITIES.index(modality)] = False
        depth = torch.stack([self._depth[at].float(), self._valid[at].float()], dim=1)
        images = {
            Modality.RGB: (self._rgb[at].float() / 255.0 - self._mean) / self._std,
            Modality.DEPTH: depth,
            Modality.IR: self._ir[at].float().unsqueeze(1),
        }
        for column, modality in enumerate(MODALITIES):
            images[modality] *= present[:, column].view(-1, 1, 1, 1)
        return Batch(images, present, self._ids.select(int(i) for i in at))
