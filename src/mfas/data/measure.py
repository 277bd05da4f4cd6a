"""All statistics of all captures of a manifest; files that cannot be read are listed, not fatal."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfas.core import MODALITIES, Modality
from mfas.data import statistics as of
from mfas.data._manifest_rules import Fault
from mfas.data.box import FULL, Box, parse_box
from mfas.data.catalogue import STATISTICS
from mfas.data.crops import Region, register, square_region
from mfas.data.images import METRIC, read_depth, read_header, read_ir, read_rgb
from mfas.data.manifest import Manifest, Row
from mfas.errors import ImageError

Column = NDArray[np.float64]
_ORDERED = {"capture_order": "capture_id", "presentation_order": "presentation_id", "session_order": "session"}


@dataclass(frozen=True, slots=True)
class Measured:
    """``values[name]`` is float64 ``[N]``, one entry per capture, NaN where it could not be taken."""

    values: dict[str, Column]
    unreadable: tuple[Fault, ...]


def measure_manifest(
    manifest: Manifest,
    *,
    scale: float = 1.3,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """Read every image and take every statistic of `STATISTICS`.

    ``scale``: side of the square face crop over the longer side of the box; with ``box: full`` the central square of
    the image is the crop. Without a box nothing is said about the face. ``progress`` gets (done, total).
    """
    values = {item.name: np.full(len(manifest), np.nan) for item in STATISTICS}
    faults: list[Fault] = []
    with ThreadPoolExecutor(max(1, workers)) as pool:
        rows = pool.map(lambda row: measure_capture(row, manifest, scale), manifest)
        for index, (found, wrong) in enumerate(rows):
            for name, value in found.items():
                values[name][index] = value
            faults += wrong
            if progress is not None:
                progress(index + 1, len(manifest))
    return Measured(values | _listing(manifest), tuple(faults))


def measure_capture(row: Row, manifest: Manifest, scale: float = 1.3) -> tuple[of.Values, list[Fault]]:
    """The statistics of one capture's images and box, and what could not be read of it."""
    values: of.Values = {f"{m.value}_present": float(m in row.modalities) for m in MODALITIES}
    images: dict[Modality, NDArray[Any]] = {}
    faults: list[Fault] = []
    for modality in row.modalities:
        try:
            images[modality], about = _read(row, manifest, modality)
        except (ImageError, OSError) as reason:
            faults.append(Fault(row.index + 1, modality.value, str(reason)))
        else:
            values |= about
    box = parse_box(row.box)
    values["box_given"] = float(isinstance(box, Box))
    reference = _reference(row, images)
    if isinstance(box, Box) and reference is not None:
        values |= of.box_statistics(box, reference)
    for modality, image in images.items():
        region = None
        try:
            region = face_region(box, reference, image, scale)
        except ImageError as reason:
            faults.append(Fault(row.index + 1, modality.value, str(reason)))
        values |= _image_statistics(row, modality, image, region)
    return values, faults


def face_region(
    box: Box | str | None, reference: tuple[int, int] | None, image: NDArray[Any], scale: float
) -> Region | None:
    """The square that holds the face: around the box, the central one of a crop, None when there is neither.

    Raises `ImageError` when the box lies outside, or the image does not show the view the box was drawn in.
    """
    height, width = image.shape[:2]
    if box == FULL:
        return square_region(None, height, width, scale)
    if not isinstance(box, Box) or reference is None:
        return None
    if not box.meets(*reference):
        raise ImageError(f"expected a box inside {reference[1]} x {reference[0]} pixels, got {box}")
    return square_region(register(box, reference, (height, width)), height, width, scale)


def _read(row: Row, manifest: Manifest, modality: Modality) -> tuple[NDArray[Any], of.Values]:
    path = manifest.resolve(row.path(modality))
    header = read_header(path)
    if modality is Modality.RGB:
        image: NDArray[Any] = read_rgb(path)
    elif modality is Modality.IR:
        image = read_ir(path)
    else:
        image = read_depth(path, row.depth_scale_m, row.depth_kind)
    lossy = header.format != "PNG"
    return image, of.file_statistics(modality.value, image.shape, path.stat().st_size, lossy=lossy)


def _image_statistics(row: Row, modality: Modality, image: NDArray[Any], region: Region | None) -> of.Values:
    if modality is Modality.RGB:
        return of.rgb_statistics(image)
    if modality is Modality.IR:
        return of.ir_statistics(image, region)
    return of.depth_statistics(image, region, relative=row.depth_kind != METRIC)


def _reference(row: Row, images: dict[Modality, NDArray[Any]]) -> tuple[int, int] | None:
    """Height and width of the image the box was drawn in; None when that one could not be read."""
    if row.rgb:
        images = {m: image for m, image in images.items() if m is Modality.RGB}
    shapes = [(image.shape[0], image.shape[1]) for image in images.values()]
    return max(shapes, key=lambda shape: shape[0] * shape[1], default=None)


def _listing(manifest: Manifest) -> dict[str, Column]:
    """What the table alone tells: time, place in the file, alphabetical places, length of clips."""
    found = {name: _order(manifest.column(column)) for name, column in _ORDERED.items()}
    _, clip, sizes = np.unique(manifest.column("presentation_id").astype(str), return_inverse=True, return_counts=True)
    return found | {
        "subject_order": _order(manifest.column("subject")),
        "timestamp": manifest.column("timestamp").astype(np.float64),
        "position": np.arange(len(manifest), dtype=np.float64),
        "captures_per_presentation": sizes[clip].astype(np.float64),
    }


def _order(names: NDArray[Any]) -> Column:
    """Place of each name among the sorted different ones; NaN for an empty one."""
    place = np.unique(names.astype(str), return_inverse=True)[1].astype(np.float64)
    place[names == ""] = np.nan
    return place
