"""The captures of one target in memory, and streams of them as batches: failing sensors, noise and blends included.

The one place of the bench where an adapter's batches are made. Their identities are numbers in order of arrival, so
that nothing in them tells a label, not even that a presentation has come before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfas.benchmark.bench_rows import PROBE, STREAM, SiteRows, restrict, stream_columns, thin_probe
from mfas.benchmark.sources import join_manifests
from mfas.benchmark.stream import BlendEdit, NoiseEdit, StreamColumns, StreamItem
from mfas.card import Preprocess
from mfas.core import MODALITIES, Batch, CaptureIds, Modality
from mfas.data.dataset import CachedTensors
from mfas.data.manifest import Manifest, read_manifest

Images = dict[Modality, Tensor]


@dataclass(frozen=True, slots=True)
class Part:
    """Captures with one role (stream or probe); ``rows`` are their places in `Captures.manifest`."""

    sites: tuple[SiteRows, ...]
    rows: NDArray[np.int64]

    def columns(
        self, order: tuple[str, ...], missing: Sequence[Modality], score: NDArray[np.float64] | None = None
    ) -> StreamColumns:
        """What a recipe sees; `StreamItem.row` counts within this part."""
        return stream_columns(self.sites, order, missing, score)


class Captures:
    """Everything that streams over ``sites`` and their probe may show, decoded once.

    ``most`` captures of each site's probe at most, as `thin_probe` chooses them; 0 = all.
    """

    def __init__(
        self, paths: Mapping[str, Path], target: str, sites: tuple[str, ...], spec: Preprocess, most: int = 0
    ) -> None:
        parts: list[Manifest] = []
        found: dict[str, tuple[list[SiteRows], list[NDArray[np.int64]]]] = {STREAM: ([], []), PROBE: ([], [])}
        start = 0
        for name in dict.fromkeys(sites):
            manifest = read_manifest(paths[name], require_labels=True)
            rows = SiteRows.of_manifest(name, manifest)
            roles = rows.roles(target, sites)
            if most:
                roles = thin_probe(rows.presentation, roles, most)
            used = np.flatnonzero(roles != "")
            for role, (listed, places) in found.items():
                listed.append(restrict(rows, roles == role))
                places.append(start + np.flatnonzero(roles[used] == role))
            parts.append(manifest.take(used))
            start += len(used)
        self.manifest = join_manifests(parts, require_labels=True)
        self.tensors = CachedTensors(self.manifest, spec)
        self.stream, self.probe = (Part(tuple(a), np.concatenate(b)) for a, b in found.values())
        self.site = np.concatenate([np.full(len(p), n) for p, n in zip(parts, dict.fromkeys(sites), strict=True)])
        self.native = np.stack([self.manifest.column(m.value) != "" for m in MODALITIES], axis=1).astype(np.bool_)
        self.at = np.full(len(self.manifest), -1, np.int64)
        """Place of each row in `tensors`; -1 for a capture without a face, which is a non-response."""
        self.at[self.tensors.rows] = np.arange(len(self.tensors))

    def present(self, items: Sequence[StreamItem], rows: NDArray[np.int64], missing: Sequence[Modality]) -> Tensor:
        """Bool ``[B, 3]``: what each arriving capture shows; a row without a face has nothing."""
        out = self.native[rows] & (self.at[rows] >= 0)[:, None]
        for i, item in enumerate(items):
            for modality in {*missing, *item.drop}:
                out[i, MODALITIES.index(modality)] = False
        return torch.from_numpy(out)

    def batch(
        self, items: Sequence[StreamItem], part: Part, present: Tensor, ids: CaptureIds
    ) -> tuple[Batch, NDArray[np.bool_]]:
        """The images of ``items`` (rows of ``part``) as they arrive, and which of them were edited."""
        rows = part.rows[[item.row for item in items]]
        images: Images = dict(self.tensors.batch(self.at[rows].tolist()).images)
        edited = np.array([item.edit is not None for item in items])
        for i in np.flatnonzero(edited).tolist():
            edit = items[i].edit
            if isinstance(edit, NoiseEdit):
                changed = noise_images(self.tensors.spec, edit.seed)
            else:
                assert isinstance(edit, BlendEdit)
                other = self.tensors.batch([int(self.at[part.rows[edit.other]])]).images
                changed = blend_images({m: x[i] for m, x in images.items()}, {m: x[0] for m, x in other.items()}, edit)
            for modality, image in changed.items():
                images[modality][i] = image
        for column, modality in enumerate(MODALITIES):
            images[modality] *= present[:, column].view(-1, 1, 1, 1)
        return Batch(images, present, ids), edited


def arrival_ids(items: Sequence[StreamItem], places: Sequence[int], subjects: Sequence[str]) -> CaptureIds:
    """Identities of captures at ``places`` of a stream; the subject is the person shown or claimed."""
    captures = tuple(f"c{place:06d}" for place in places)
    presentations = tuple(f"p{item.presentation:06d}" for item in items)
    return CaptureIds(captures, presentations, tuple(subjects), presentations, tuple(float(p) for p in places))


def noise_images(spec: Preprocess, seed: int) -> Images:
    """Uniform noise over each sensor's range, as network input: what an unplugged or jammed sensor might send."""
    generator = torch.Generator().manual_seed(seed)
    shape = (spec.size, spec.size)
    rgb = torch.rand((3, *shape), generator=generator)
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (spec.rgb_mean, spec.rgb_std))
    depth = 2 * torch.rand(shape, generator=generator) - 1
    infrared = spec.ir_clip * torch.rand((1, *shape), generator=generator)
    return {
        Modality.RGB: (rgb - mean) / std,
        Modality.DEPTH: torch.stack([depth, torch.ones(shape)]),
        Modality.IR: (infrared - spec.ir_mean) / spec.ir_std,
    }


def blend_images(capture: Images, other: Images, edit: BlendEdit) -> Images:
    """Each pixel moved by ``edit.share`` towards the other's; depth where the heavier of the two measured it."""
    out = {m: torch.lerp(capture[m], other[m], edit.share) for m in (Modality.RGB, Modality.IR)}
    (own, own_valid), (new, new_valid) = capture[Modality.DEPTH], other[Modality.DEPTH]
    weight = (1 - edit.share) * own_valid + edit.share * new_valid
    depth = ((1 - edit.share) * own * own_valid + edit.share * new * new_valid) / weight.clamp_min(1e-6)
    valid = (weight >= 0.5).float()
    return out | {Modality.DEPTH: torch.stack([depth * valid, valid])}
