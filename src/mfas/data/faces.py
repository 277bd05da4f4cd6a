"""Finding the face: an offline LBP cascade out of scikit-image, or YuNet when its file is given.

Both give boxes of one convention, that of `Box`: hairline to chin, cheek to cheek, as YuNet is trained to. The
cascade's own square window reaches from the upper forehead to the lower lip and is changed by fixed shares to match.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mfas.data.box import Box
from mfas.errors import InputError

_SCAN_SIDES = (240, 320, 427)
"""The longer side, in pixels, of the three sizes an image is scanned at; faces down to about 9 % of it are found."""
_SURE, _LIKELY = 4, 3
"""Looks out of six that must agree on a place."""
_SMALLEST = 28
_AGREEMENT = 0.4
_SHIFT_X, _SHIFT_Y, _WIDTH, _HEIGHT = 0.05, -0.07, 0.90, 1.15
_YUNET_SIDE = 640
_YUNET_LOCK = Lock()


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
    """Votes of six looks: three scan sizes, each with its mirror image.

    A face survives rescaling and mirroring; what the cascade takes for one by chance mostly does not. If any place gets
    the votes of a sure face, the largest place with those of a likely one is the answer: people in front of the camera
    are larger than chance hits behind them.
    """
    looks = [window for look in range(2 * len(_SCAN_SIDES)) for window in _look(image, look)]
    likely: list[_Window] = []
    most = 0
    for window, _ in looks:
        near = [(other, look) for other, look in looks if _overlap(window, other) >= _AGREEMENT]
        votes = len({look for _, look in near})
        most = max(most, votes)
        if votes >= _LIKELY:
            likely.append(_mean([other for other, _ in near]))
    if most < _SURE:
        return None
    best = max(likely, key=lambda w: (w.side, -w.y, -w.x))
    return _from_window(best.x, best.y, best.side)


def _look(image: NDArray[Any], look: int) -> list[tuple[_Window, int]]:
    """What the cascade answers to at one scan size, mirrored or not, in pixels of the image."""
    height, width = image.shape[:2]
    side, mirrored = _SCAN_SIDES[look // 2], look % 2 == 1
    factor = side / max(height, width)
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    shape = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = cv2.resize(image, shape, interpolation=method)
    smallest = max(_SMALLEST, math.ceil(_SMALLEST * factor))  # enlarged specks are no faces
    found = _scan(small[:, ::-1] if mirrored else small, smallest)
    if mirrored:
        found = [_Window(shape[0] - w.x - w.side, w.y, w.side) for w in found]
    return [(_Window(w.x / factor, w.y / factor, w.side / factor), look) for w in found]


@dataclass(frozen=True, slots=True)
class _Window:
    """A square the cascade answered to, in pixels."""

    x: float
    y: float
    side: float


def _scan(image: NDArray[Any], smallest: int) -> list[_Window]:
    shorter = min(image.shape[:2])
    if shorter < smallest:
        return []
    found = _cascade().detect_multi_scale(
        np.ascontiguousarray(image),
        scale_factor=1.15,
        step_ratio=1,
        min_size=(smallest, smallest),
        max_size=(shorter, shorter),
        min_neighbor_number=3,
    )
    return [_Window(hit["c"], hit["r"], hit["width"]) for hit in found]


def _overlap(a: _Window, b: _Window) -> float:
    """Intersection over union."""
    wide = min(a.x + a.side, b.x + b.side) - max(a.x, b.x)
    high = min(a.y + a.side, b.y + b.side) - max(a.y, b.y)
    shared = max(wide, 0.0) * max(high, 0.0)
    return shared / (a.side**2 + b.side**2 - shared)


def _mean(windows: list[_Window]) -> _Window:
    count = len(windows)
    return _Window(*(sum(values) / count for values in zip(*((w.x, w.y, w.side) for w in windows), strict=True)))


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
    with _YUNET_LOCK:  # the input size is state of the detector
        detector.setInputSize((small.shape[1], small.shape[0]))
        _, found = detector.detect(small)
    if found is None or not len(found):
        return None
    x, y, w, h = (float(v) / factor for v in max(found, key=lambda hit: float(hit[2] * hit[3]))[:4])
    return Box(x, y, w, h) if w > 0 and h > 0 else None
