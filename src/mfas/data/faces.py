"""Finding the face: an offline LBP cascade out of scikit-image, or YuNet when its file is given.

Both give boxes of one convention, that of `Box`: hairline to chin, cheek to cheek, as YuNet is trained to. The
cascade's own square window reaches from the upper forehead to the lower lip and is changed by fixed shares to match.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mfas.data.box import Box
from mfas.errors import InputError

_SCAN_SIDES = (320, 640)
"""The longer side, in pixels, at which an image is scanned; the second only when the first finds nothing."""
_SMALLEST = 28
_AGREEMENT = 0.4
_SHIFT_X, _SHIFT_Y, _WIDTH, _HEIGHT = 0.05, -0.07, 0.90, 1.15
_YUNET_SIDE = 640


def find_face(image: NDArray[Any], yunet: Path | None = None) -> Box | None:
    """The largest face in uint8 ``[H, W, 3]`` RGB or in infrared ``[H, W]`` (uint8 or uint16); None if there is none.

    ``yunet`` is the path of a YuNet ONNX file (not shipped); without it, the LBP cascade scans for near-frontal faces.
    Raises `InputError` when that file cannot be loaded.
    """
    if image.ndim == 2:
        image = _stretched(image)
    return _find_yunet(image, yunet) if yunet is not None else _find_cascade(image)


def _stretched(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Infrared of any range as 8 bit: the 99th percentile becomes 230, darkness stays darkness."""
    step = max(1, min(image.shape) // 128)
    top = max(float(np.percentile(image[::step, ::step], 99)), 1.0)
    out: NDArray[np.uint8] = np.clip(image.astype(np.float32) * (230.0 / top), 0, 255).astype(np.uint8)
    return out


def _find_cascade(image: NDArray[Any]) -> Box | None:
    """The largest window that the image and its mirror agree on, at the first scan size that has one.

    A face survives mirroring; what the cascade takes for one by chance mostly does not.
    """
    height, width = image.shape[:2]
    for side in _SCAN_SIDES:
        factor = min(1.0, side / max(height, width))
        small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) if factor < 1 else image
        seen, mirrored = _scan(small), _scan(small[:, ::-1])
        across = [_Window(small.shape[1] - w.x - w.side, w.y, w.side) for w in mirrored]
        agreed = [_mean(a, b) for a in seen for b in across if _overlap(a, b) >= _AGREEMENT]
        if agreed:
            best = max(agreed, key=lambda w: (w.side, -w.y, -w.x))
            return _from_window(best.x / factor, best.y / factor, best.side / factor)
        if factor == 1.0:
            break
    return None


@dataclass(frozen=True, slots=True)
class _Window:
    """A square the cascade answered to, in pixels of the scanned image."""

    x: float
    y: float
    side: float


def _scan(image: NDArray[Any]) -> list[_Window]:
    shorter = min(image.shape[:2])
    if shorter < _SMALLEST:
        return []
    found = _cascade().detect_multi_scale(
        np.ascontiguousarray(image),
        scale_factor=1.15,
        step_ratio=1,
        min_size=(_SMALLEST, _SMALLEST),
        max_size=(shorter, shorter),
        min_neighbor_number=4,
    )
    return [_Window(hit["c"], hit["r"], hit["width"]) for hit in found]


def _overlap(a: _Window, b: _Window) -> float:
    """Intersection over union."""
    wide = min(a.x + a.side, b.x + b.side) - max(a.x, b.x)
    high = min(a.y + a.side, b.y + b.side) - max(a.y, b.y)
    shared = max(wide, 0.0) * max(high, 0.0)
    return shared / (a.side**2 + b.side**2 - shared)


def _mean(a: _Window, b: _Window) -> _Window:
    return _Window((a.x + b.x) / 2, (a.y + b.y) / 2, (a.side + b.side) / 2)


def _from_window(x: float, y: float, side: float) -> Box:
    return Box(x + _SHIFT_X * side, y + _SHIFT_Y * side, _WIDTH * side, _HEIGHT * side)


@lru_cache(maxsize=1)
def _cascade() -> Any:
    from skimage import data
    from skimage.feature import Cascade

    return Cascade(data.lbp_frontal_face_cascade_filename())


@lru_cache(maxsize=2)
def _yunet(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"YuNet file not found: {path}")
    try:
        return cv2.FaceDetectorYN.create(str(path), "", (_YUNET_SIDE, _YUNET_SIDE), 0.7, 0.3, 50)
    except (cv2.error, AttributeError):
        raise InputError(f"expected a YuNet face detector in ONNX, got {path}") from None


def _find_yunet(image: NDArray[Any], path: Path) -> Box | None:
    height, width = image.shape[:2]
    factor = min(1.0, _YUNET_SIDE / max(height, width))
    colour = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR if image.ndim == 2 else cv2.COLOR_RGB2BGR)
    small = cv2.resize(colour, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    detector = _yunet(path)
    detector.setInputSize((small.shape[1], small.shape[0]))
    _, found = detector.detect(small)
    if found is None or not len(found):
        return None
    x, y, w, h = (float(v) / factor for v in max(found, key=lambda hit: float(hit[2] * hit[3]))[:4])
    return Box(x, y, w, h) if w > 0 and h > 0 else None
