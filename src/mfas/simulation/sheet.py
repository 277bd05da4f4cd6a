"""A contact sheet: species by modality, to be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mfas._files import atomic_path
from mfas.simulation.geometry import Floats

PER_SPECIES = 5
_MARGIN = 88
_RAW_WHITE = 15_000
_ORDER = ("rgb", "depth", "ir")
_MISSING = (214, 214, 214)


def contact_sheet(rows: Sequence[Mapping[str, object]], root: Path, target: Path) -> None:
    """Draw up to five presentations per species, each as RGB, depth and infrared side by side, to a PNG.

    A missing image is a grey panel.
    """
    groups: dict[str, dict[object, Mapping[str, object]]] = {}
    for row in rows:
        group = groups.setdefault(str(row["species"] or "bona_fide"), {})
        group.setdefault(row["presentation_id"], row)
    strips = []
    for name in sorted(groups, key=lambda key: (key != "bona_fide", key)):
        chosen = list(groups[name].values())[:PER_SPECIES]
        strips.append(_strip(name, [_triple(row, root) for row in chosen]))
    sheet = np.vstack(strips)
    with atomic_path(target) as temporary:
        cv2.imwrite(str(temporary), sheet[..., ::-1])


def depth_picture(depth: NDArray[np.uint16], unit_mm: float = 1.0) -> NDArray[np.uint8]:
    """Depth (H, W) in counts of ``unit_mm`` as grey (H, W, 3): near = bright over 220 mm about the middle's median.

    Holes are blue.
    """
    size = depth.shape[0]
    middle = depth[size // 3 : -size // 3, size // 3 : -size // 3]
    known = middle[middle > 0]
    centre = float(np.median(known)) if known.size else 0.0
    level: Floats = np.clip(0.65 - (depth.astype(np.float32) - centre) * unit_mm / 220, 0.05, 1)
    grey = np.repeat((level * 255).astype(np.uint8)[..., None], 3, axis=2)
    grey[depth == 0] = (20, 40, 120)
    return grey


def _triple(row: Mapping[str, object], root: Path) -> NDArray[np.uint8]:
    images: dict[str, NDArray[Any]] = {
        name: np.asarray(cv2.imread(str(root / str(row[name])), cv2.IMREAD_UNCHANGED)) for name in _ORDER if row[name]
    }
    shape = (*next(iter(images.values())).shape[:2], 3)
    unit_mm = 1000 * float(str(row.get("depth_scale_m", 0.001)))
    panels = [
        _panel(name, images[name], unit_mm) if name in images else np.full(shape, _MISSING, np.uint8) for name in _ORDER
    ]
    return np.pad(np.hstack(panels), ((2, 2), (2, 4), (0, 0)), constant_values=255)


def _panel(name: str, image: NDArray[Any], unit_mm: float) -> NDArray[np.uint8]:
    if name == "depth":
        return depth_picture(np.asarray(image, np.uint16), unit_mm)
    if image.dtype == np.uint16:
        image = np.clip(image / _RAW_WHITE * 255, 0, 255).astype(np.uint8)
    return np.asarray(image[..., ::-1] if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2), np.uint8)


def _strip(name: str, triples: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    height, width = triples[0].shape[:2]
    blank = np.full((height, width, 3), 255, np.uint8)
    title = np.full((height, _MARGIN, 3), 255, np.uint8)
    cv2.putText(title, name, (3, height // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (20, 20, 20), 1, cv2.LINE_AA)
    return np.hstack([title, *triples, *[blank] * (PER_SPECIES - len(triples))])
