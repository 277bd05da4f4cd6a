"""From decoded images to network input, as the model card says: the one place where pixels are scaled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mfas.card import Preprocess
from mfas.core import Modality
from mfas.data.box import Box
from mfas.data.crops import crop_square, register
from mfas.data.images import METRIC, scale_depth

FACE_RELIEF_M = 0.05
"""Relief (5th to 95th percentile) of the middle third of a live face, to which relative depth is scaled."""
_SMALLEST_RELIEF = 0.01
_DARKEST = {np.dtype(np.uint8): 2.0, np.dtype(np.uint16): 64.0}
"""Infrared below this level is not brightened any further: sensor noise is no face."""

Images = Mapping[Modality, NDArray[Any]]
Planes = dict[Modality, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Capture:
    """Decoded images of one instant: RGB uint8 ``[H, W, 3]``, depth and infrared uint8 or uint16 ``[H, W]``.

    ``box`` is in pixels of ``reference`` (height, width; the RGB image's, were there one); None = images are crops.
    Depth is as the sensor gave it, 0 = hole; ``depth_scale_m`` and ``depth_kind`` are those of the manifest.
    """

    images: Images
    box: Box | None
    reference: tuple[int, int]
    depth_scale_m: float = 0.001
    depth_kind: str = METRIC


def preprocess(capture: Capture, spec: Preprocess) -> Planes:
    """Network input float32 ``[C, size, size]`` of every modality the capture has; see `mfas.card.Preprocess`."""
    planes: Planes = {}
    for modality in capture.images:
        cut = face_crop(capture, modality, spec.crop_scale, spec.size)
        if modality is Modality.RGB:
            planes[modality] = normalise_rgb(cut, spec)
        elif modality is Modality.DEPTH:
            # scaled after the crop: picking pixels first gives the same and touches fewer of them
            depth = scale_depth(cut, capture.depth_scale_m, capture.depth_kind)
            planes[modality] = normalise_depth(depth, spec, relative=capture.depth_kind != METRIC)
        else:
            planes[modality] = normalise_ir(cut, spec)
    return planes


def face_crop(capture: Capture, modality: Modality, scale: float, size: int | None) -> NDArray[Any]:
    """The square around the face as the sensor gave it, ``size`` pixels a side (None: as many as it has)."""
    image = capture.images[modality]
    box = register(capture.box, capture.reference, (image.shape[0], image.shape[1]), modality.value)
    return crop_square(image, box, scale, size, nearest=modality is Modality.DEPTH)


def normalise_rgb(crop: NDArray[np.uint8], spec: Preprocess) -> NDArray[np.float32]:
    """uint8 ``[S, S, 3]`` to float32 ``[3, S, S]``: (value / 255 - mean) / std."""
    out = np.empty((3, *crop.shape[:2]), np.float32)
    for channel, plane in enumerate(cv2.split(crop)):
        std = spec.rgb_std[channel]
        np.multiply(plane, np.float32(1.0 / (255.0 * std)), out=out[channel])
        out[channel] -= np.float32(spec.rgb_mean[channel] / std)
    return out


def normalise_depth(crop: NDArray[np.float32], spec: Preprocess, *, relative: bool = False) -> NDArray[np.float32]:
    """Metres ``[S, S]`` with NaN holes to float32 ``[2, S, S]``: depth relative to the face, and validity.

    The centre is the median of what was measured in the middle third (of the whole crop, if nothing was there).
    Values outside ``[depth_near_m, depth_far_m]`` count as holes; a hole is 0 in both channels. ``relative`` depth is
    scaled so that the relief of the middle third becomes that of a face.
    """
    out = np.zeros((2, *crop.shape), np.float32)
    valid = crop == crop
    if not relative:
        with np.errstate(invalid="ignore"):
            valid &= (crop >= spec.depth_near_m) & (crop <= spec.depth_far_m)
    inner = _middle(crop)[_middle(valid)]
    if inner.size == 0:
        inner = crop[valid]
    if inner.size == 0:
        return out
    inner.sort()
    centre = float(inner[inner.size // 2])
    scale = spec.depth_clip_m
    if relative:
        relief = float(inner[int(0.95 * (inner.size - 1))] - inner[int(0.05 * (inner.size - 1))])
        scale *= max(relief, _SMALLEST_RELIEF) / FACE_RELIEF_M
    rel = (crop - np.float32(centre)) * np.float32(1.0 / scale)
    np.clip(rel, -1.0, 1.0, out=rel)
    np.copyto(out[0], rel, where=valid)
    out[1] = valid
    return out


def normalise_ir(crop: NDArray[Any], spec: Preprocess) -> NDArray[np.float32]:
    """uint8 or uint16 ``[S, S]`` to float32 ``[1, S, S]``: over its percentile in the middle third, clipped, scaled.

    A frame whose middle is all but black stays dark: it is divided by a small floor (2 of 255, 64 of 65,535).
    """
    inner = np.sort(_middle(crop), axis=None)
    level = float(inner[int(spec.ir_percentile / 100 * (inner.size - 1))])
    level = max(level, _DARKEST[crop.dtype])
    out = crop.astype(np.float32)[None]
    out *= np.float32(1.0 / level)
    np.minimum(out, np.float32(spec.ir_clip), out=out)
    out -= np.float32(spec.ir_mean)
    out *= np.float32(1.0 / spec.ir_std)
    return out


def _middle(image: NDArray[Any]) -> NDArray[Any]:
    """The central third in both directions."""
    height, width = image.shape[:2]
    top, left = height // 3, width // 3
    return image[top : height - top, left : width - left]
