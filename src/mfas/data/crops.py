"""The one crop: a square around the face box that shifts at the border and never squeezes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mfas.data.box import Box
from mfas.errors import ImageError

_ASPECT_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class Region:
    """A square of whole pixels inside an image."""

    x: int
    y: int
    side: int


def square_region(box: Box | None, height: int, width: int, scale: float) -> Region:
    """The square to cut out of an image of ``height`` x ``width`` pixels.

    Its side is ``scale`` times the longer side of ``box``, its centre that of the box. A square that sticks out is
    shifted inside; one larger than the image shrinks to the image's shorter side, so no pixel is ever made up and the
    aspect never changes. ``box=None`` (the whole image is a crop) gives the central square.

    >>> square_region(Box(0, 0, 10, 10), 100, 100, 2.0)
    Region(x=0, y=0, side=20)
    """
    shorter = min(height, width)
    if box is None:
        return Region((width - shorter) // 2, (height - shorter) // 2, shorter)
    side = max(1, min(int(np.floor(scale * max(box.w, box.h) + 0.5)), shorter))
    cx, cy = box.centre
    x = int(np.floor(cx - side / 2 + 0.5))
    y = int(np.floor(cy - side / 2 + 0.5))
    return Region(min(max(x, 0), width - side), min(max(y, 0), height - side), side)


def crop_square(
    image: NDArray[Any], box: Box | None, scale: float, size: int | None, *, nearest: bool = False
) -> NDArray[Any]:
    """Cut the square of `square_region` out of ``image`` ``[H, W]`` or ``[H, W, C]`` and resize it to ``size`` pixels.

    Shrinking averages areas, growing is bilinear; ``nearest=True`` picks pixels (depth: neither holes nor edges blend).
    ``size=None`` keeps the pixels of the source. The type of the image is kept.
    """
    region = square_region(box, image.shape[0], image.shape[1], scale)
    cut = image[region.y : region.y + region.side, region.x : region.x + region.side]
    return resize(cut, size, nearest=nearest) if size is not None else np.ascontiguousarray(cut)


def resize(image: NDArray[Any], size: int, *, nearest: bool = False) -> NDArray[Any]:
    """Resize a square image to ``size`` x ``size``."""
    side = image.shape[0]
    if side == size:
        return np.ascontiguousarray(image)
    method = cv2.INTER_NEAREST_EXACT if nearest else cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    out: NDArray[Any] = cv2.resize(image, (size, size), interpolation=method)
    return out


def register(box: Box | None, reference: tuple[int, int], shape: tuple[int, int], name: str = "image") -> Box | None:
    """Move a box from the reference image (``height, width``) to one registered to it, of another resolution.

    Raises `ImageError` when the two shapes differ in aspect: they then cannot show the same view.
    """
    if box is None or reference == shape:
        return box
    sy, sx = shape[0] / reference[0], shape[1] / reference[1]
    if abs(sx / sy - 1) > _ASPECT_TOLERANCE:
        raise ImageError(
            f"{name}: expected the aspect of the image it is registered to "
            f"({reference[1]} x {reference[0]}), got {shape[1]} x {shape[0]}"
        )
    return box.scaled(sx, sy)
