"""One manifest row to decoded images with a known face box, or to the outcome "no face"."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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


def capture_of(
    images: Mapping[Modality, NDArray[Any]],
    *,
    name: str = "capture",
    box: str = "",
    depth_scale_m: float = 0.001,
    depth_kind: str = METRIC,
    yunet: Path | None = None,
) -> Capture | NoFace:
    """As `load_capture`, from images that are decoded already (`mfas.data.images`); depth as the sensor gave it.

    Raises `ImageError` for depth in which no face can be and for a box outside the image, `InputError` for a malformed
    box.
    """
    if Modality.DEPTH in images and depth_kind == METRIC:
        check_distance(images[Modality.DEPTH], depth_scale_m, Modality.DEPTH.value)
    found = _settle(name, box, images, {m: m.value for m in images}, None, yunet)
    return found if isinstance(found, NoFace) else Capture(images, *found, depth_scale_m, depth_kind)


def _load(
    row: Row, root: Path, yunet: Path | None, drop: Collection[Modality], *, check_unit: bool
) -> Capture | NoFace:
    chosen = [m for m in row.modalities if m not in drop]
    if not chosen:
        return NoFace(row.capture_id, "no modality is left")
    images: dict[Modality, NDArray[Any]] = {m: _decode(row, root, m, check_unit) for m in chosen}
    drawn_in = root / row.rgb if row.rgb else None
    found = _settle(row.capture_id, row.box, images, {m: row.path(m) for m in chosen}, drawn_in, yunet)
    return found if isinstance(found, NoFace) else Capture(images, *found, row.depth_scale_m, row.depth_kind)


def _settle(
    name: str,
    text: str,
    images: Mapping[Modality, NDArray[Any]],
    called: Mapping[Modality, str],
    drawn_in: Path | None,
    yunet: Path | None,
) -> tuple[Box | None, tuple[int, int]] | NoFace:
    """The face box and the height and width of the image it is in; ``called`` names the images in reasons."""
    box = parse_box(text)
    if box == FULL:
        return None, (0, 0)
    if isinstance(box, Box):
        reference = _reference(images, drawn_in)
        if not box.meets(*reference):
            height, width = reference
            raise ImageError(f"capture {name}: expected a box inside {width} x {height} pixels, got {box}")
        return box, reference
    for modality in (Modality.RGB, Modality.IR):
        if modality in images:
            shape = images[modality].shape
            found = find_face(images[modality], yunet)
            if found is None:
                return NoFace(name, f"no face found in {called[modality]}")
            return found, (shape[0], shape[1])
    return NoFace(name, "a face is not looked for in depth alone; give a box")


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


def _reference(images: Mapping[Modality, NDArray[Any]], drawn_in: Path | None) -> tuple[int, int]:
    """Height and width of the image the box was drawn in: RGB, even when it is dropped; without RGB the largest one."""
    if Modality.RGB in images:
        shape = images[Modality.RGB].shape
        return shape[0], shape[1]
    if drawn_in is not None:
        header = read_header(drawn_in)
        return header.height, header.width
    return max(((i.shape[0], i.shape[1]) for i in images.values()), key=lambda s: s[0] * s[1])
