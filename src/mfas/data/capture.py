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
from mfas.data.images import METRIC, check_distance, read_header, read_ir, read_raw_depth, read_rgb
from mfas.data.manifest import Row
from mfas.data.preprocess import Capture
from mfas.errors import ImageError


@dataclass(frozen=True, slots=True)
class NoFace:
    """A capture that cannot be scored: a non-response, with its reason in one sentence."""

    capture_id: str
    reason: str


def load_raw(row: Row, root: Path, *, yunet: Path | None = None) -> Capture | NoFace:
    """As `load_capture`, but the unit of depth is not looked at: for copying only."""
    return _load(row, root, yunet, (), check_unit=False)


def load_capture(
    row: Row, root: Path, *, yunet: Path | None = None, drop: Collection[Modality] = ()
) -> Capture | NoFace:
    """Decode the images of ``row`` (but those of ``drop``) and settle the face box.

    A box in the row is used as it stands; otherwise the face is looked for in RGB, else in infrared. Raises
    `ImageError` for files that cannot be used.
    """
    return _load(row, root, yunet, drop, check_unit=True)


def _load(
    row: Row, root: Path, yunet: Path | None, drop: Collection[Modality], *, check_unit: bool
) -> Capture | NoFace:
    chosen = [m for m in row.modalities if m not in drop]
    if not chosen:
        return NoFace(row.capture_id, "no modality is left")
    images: dict[Modality, NDArray[Any]] = {m: _decode(row, root, m, check_unit) for m in chosen}
    unit = row.depth_scale_m, row.depth_kind
    box = parse_box(row.box)
    if box == FULL:
        return Capture(images, None, (0, 0), *unit)
    if isinstance(box, Box):
        reference = _reference(row, root, images)
        if not box.meets(*reference):
            height, width = reference
            raise ImageError(f"capture {row.capture_id}: expected a box inside {width} x {height} pixels, got {box}")
        return Capture(images, box, reference, *unit)
    for modality in (Modality.RGB, Modality.IR):
        if modality in images:
            shape = images[modality].shape
            found = find_face(images[modality], yunet)
            if found is None:
                return NoFace(row.capture_id, f"no face found in {row.path(modality)}")
            return Capture(images, found, (shape[0], shape[1]), *unit)
    return NoFace(row.capture_id, "a face is not looked for in depth alone; give a box")


def _decode(row: Row, root: Path, modality: Modality, check_unit: bool) -> NDArray[Any]:
    path = root / row.path(modality)
    if modality is Modality.RGB:
        return read_rgb(path)
    if modality is Modality.IR:
        return read_ir(path)
    raw = read_raw_depth(path, row.depth_kind)
    if check_unit and row.depth_kind == METRIC:
        check_distance(raw, row.depth_scale_m, str(path))
    return raw


def _reference(row: Row, root: Path, images: dict[Modality, NDArray[Any]]) -> tuple[int, int]:
    """Height and width of the image the box was drawn in: RGB, even when it is dropped; without RGB the largest one."""
    if Modality.RGB in images:
        shape = images[Modality.RGB].shape
        return shape[0], shape[1]
    if row.rgb:
        header = read_header(root / row.rgb)
        return header.height, header.width
    return max(((i.shape[0], i.shape[1]) for i in images.values()), key=lambda s: s[0] * s[1])
