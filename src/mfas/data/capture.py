"""One manifest row to decoded images with a known face box, or to the outcome "no face"."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mfas.core import Modality
from mfas.data.box import FULL, Box, parse_box
from mfas.data.faces import find_face
from mfas.data.images import METRIC, read_depth, read_header, read_ir, read_raw_depth, read_rgb
from mfas.data.manifest import Row
from mfas.data.preprocess import Capture
from mfas.errors import ImageError


@dataclass(frozen=True, slots=True)
class NoFace:
    """A capture that cannot be scored: a non-response, with its reason in one sentence."""

    capture_id: str
    reason: str


def load_raw(row: Row, root: Path, *, yunet: Path | None = None) -> Capture | NoFace:
    """As `load_capture`, but depth keeps its sensor values (uint8 or uint16, 0 = hole): for copying only."""
    return _load(row, root, yunet, (), raw=True)


def load_capture(
    row: Row, root: Path, *, yunet: Path | None = None, drop: Collection[Modality] = ()
) -> Capture | NoFace:
    """Decode the images of ``row`` (but those of ``drop``) and settle the face box.

    A box in the row is used as it stands; otherwise the face is looked for in RGB, else in infrared. Raises
    `ImageError` for files that cannot be used.
    """
    return _load(row, root, yunet, drop, raw=False)


def _load(row: Row, root: Path, yunet: Path | None, drop: Collection[Modality], *, raw: bool) -> Capture | NoFace:
    chosen = [m for m in row.modalities if m not in drop]
    if not chosen:
        return NoFace(row.capture_id, "no modality is left")
    images: dict[Modality, NDArray[Any]] = {m: _decode(row, root, m, raw) for m in chosen}
    relative = row.depth_kind != METRIC
    box = parse_box(row.box)
    if box == FULL:
        return Capture(images, None, (0, 0), relative)
    if isinstance(box, Box):
        reference = _reference(row, root, images)
        if not box.meets(*reference):
            height, width = reference
            raise ImageError(f"capture {row.capture_id}: expected a box inside {width} x {height} pixels, got {box}")
        return Capture(images, box, reference, relative)
    for modality in (Modality.RGB, Modality.IR):
        if modality in images:
            shape = images[modality].shape
            found = find_face(images[modality], yunet)
            if found is None:
                return NoFace(row.capture_id, f"no face found in {row.path(modality)}")
            return Capture(images, found, (shape[0], shape[1]), relative)
    return NoFace(row.capture_id, "a face is not looked for in depth alone; give a box")


def _decode(row: Row, root: Path, modality: Modality, raw: bool) -> NDArray[Any]:
    path = root / row.path(modality)
    if modality is Modality.RGB:
        return read_rgb(path)
    if modality is Modality.IR:
        return read_ir(path)
    if raw:
        return read_raw_depth(path, row.depth_kind)
    return read_depth(path, row.depth_scale_m, row.depth_kind)


def _reference(row: Row, root: Path, images: dict[Modality, NDArray[Any]]) -> tuple[int, int]:
    """Height and width of the image the box was drawn in: RGB, even when it is dropped; without RGB the largest one."""
    if Modality.RGB in images:
        shape = images[Modality.RGB].shape
        return shape[0], shape[1]
    if row.rgb:
        header = read_header(root / row.rgb)
        return header.height, header.width
    return max(((i.shape[0], i.shape[1]) for i in images.values()), key=lambda s: s[0] * s[1])
