"""Crops for a whole manifest, written once: small files that need no face search again."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mfas._files import atomic_path
from mfas.core import Modality
from mfas.data.box import FULL
from mfas.data.capture import NoFace, load_raw
from mfas.data.crops import crop_square, register
from mfas.data.manifest import Manifest, Row, write_manifest
from mfas.data.preprocess import Capture
from mfas.errors import ManifestError


@dataclass(frozen=True, slots=True)
class CropReport:
    """The manifest written, how many captures it holds, and those left out because no face was found."""

    path: Path
    captures: int
    no_face: tuple[NoFace, ...]


def crop_manifest(
    manifest: Manifest,
    out_dir: Path,
    *,
    name: str = "manifest.parquet",
    scale: float = 1.3,
    size: int | None = None,
    yunet: Path | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> CropReport:
    """Write the square crop of every capture to ``out_dir/crops`` as PNG, bit depth kept, and a manifest beside.

    ``scale``: side of the square over the longer side of the face box. ``size`` resizes (pixels); None keeps the
    source's resolution. Rows keep all their columns; ``box`` becomes ``full``. ``progress`` gets (done, total).
    Raises `ImageError` for files that cannot be read.
    """
    out_dir = Path(out_dir)
    (out_dir / "crops").mkdir(parents=True, exist_ok=True)
    if (out_dir / name).exists() and (out_dir / name).is_dir():
        raise ManifestError(f"expected a file name for the manifest, got the folder {out_dir / name}")

    def crop(row: Row) -> dict[str, str] | NoFace:
        return _crop_row(row, manifest.root, out_dir, scale, size, yunet)

    kept: list[int] = []
    cells: list[dict[str, str]] = []
    lost: list[NoFace] = []
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for index, found in enumerate(pool.map(crop, manifest)):
            if isinstance(found, NoFace):
                lost.append(found)
            else:
                kept.append(index)
                cells.append(found)
            if progress is not None:
                progress(index + 1, len(manifest))
    written = write_manifest(_with_cells(manifest, kept, cells, out_dir), out_dir / name)
    return CropReport(out_dir / name, len(written), tuple(lost))


def _with_cells(manifest: Manifest, kept: list[int], cells: list[dict[str, str]], root: Path) -> Manifest:
    table = manifest.take(np.array(kept, np.int64)).table
    for modality in Modality:
        at = table.column_names.index(modality.value)
        table = table.set_column(at, modality.value, pa.array([c.get(modality.value, "") for c in cells], pa.string()))
    box = pa.array([FULL] * len(kept), pa.string())
    return Manifest(table.set_column(table.column_names.index("box"), "box", box), root)


def _crop_row(
    row: Row, root: Path, out_dir: Path, scale: float, size: int | None, yunet: Path | None
) -> dict[str, str] | NoFace:
    capture = load_raw(row, root, yunet=yunet)
    if isinstance(capture, NoFace):
        return capture
    cells: dict[str, str] = {}
    for modality, image in capture.images.items():
        cells[modality.value] = f"crops/{row.index:07d}_{modality.value}.png"
        _write_png(out_dir / cells[modality.value], _cut(capture, modality, image, scale, size))
    return cells


def _cut(capture: Capture, modality: Modality, image: NDArray[Any], scale: float, size: int | None) -> NDArray[Any]:
    box = register(capture.box, capture.reference, (image.shape[0], image.shape[1]), modality.value)
    return crop_square(image, box, scale, size, nearest=modality is Modality.DEPTH)


def _write_png(path: Path, image: NDArray[Any]) -> None:
    stored = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    with atomic_path(path) as temporary:
        done, data = cv2.imencode(".png", stored)
        if not done:
            raise OSError(f"cannot encode {path}")
        temporary.write_bytes(data.tobytes())
