"""One number per image: simple statistics that should tell nothing about the class, and physical cues that may.

Pure functions over decoded arrays. A statistic that cannot be taken (too little was measured) is left out of the
answer. Levels are shares of the full scale, so that 8 and 16 bit compare; depth is in metres with NaN holes.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mfas.data.box import Box
from mfas.data.crops import Region

Values = dict[str, float]
Floats = NDArray[np.float32]

NEAR_BLACK = 0.02
"""Share of the full scale up to which a pixel counts as black."""
SATURATED = 0.99
NOISE_BLUR_PX = 1.5
_BORDER = 1 / 28
"""Width of the border over the shorter side: 4 pixels of 112."""
_FEWEST = 16
"""Measured pixels below which nothing is said about a depth image's middle."""
_LUMA_SCALE = 255.0


def rgb_statistics(image: NDArray[np.uint8]) -> Values:
    """Of a whole colour image uint8 ``[H, W, 3]``: sharpness, exposure, contrast, cast, border."""
    grey: Floats = image.mean(axis=2, dtype=np.float32)
    sides = border(grey)
    return {
        "rgb_sharpness": _sharpness(grey, 1e-6),
        "rgb_exposure": float(grey.mean()) / _LUMA_SCALE,
        "rgb_contrast": float(grey.std()) / _LUMA_SCALE,
        "rgb_colour_cast": float(image[..., 0].mean() / max(float(image[..., 2].mean()), 1e-3)),
        "rgb_border": float(sides.mean()) / _LUMA_SCALE,
        "rgb_border_spread": float(sides.std()) / _LUMA_SCALE,
        "rgb_dark_border": _share(border(grey, bottom=True) <= NEAR_BLACK * _LUMA_SCALE),
    }


def ir_statistics(image: NDArray[Any], region: Region | None) -> Values:
    """Of an infrared image uint8 or uint16 ``[H, W]``; levels of the face need the ``region`` that holds it."""
    level: Floats = image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)
    values = {
        "ir_sharpness": _sharpness(level * np.float32(_LUMA_SCALE), 1.0),
        "ir_median": float(np.median(level)),
        "ir_saturated": _share(level >= SATURATED),
        "ir_dark_border": _share(border(level, bottom=True) <= NEAR_BLACK),
    }
    if region is not None:
        crop = cut(level, region)
        face = float(np.median(middle(crop)))
        values["ir_middle"] = face
        values["ir_p99"] = float(np.percentile(crop, 99))
        if face > 0:
            values["ir_background_share"] = float(np.median(border(crop))) / face
    return values


def depth_statistics(depth: Floats, region: Region | None, *, relative: bool = False) -> Values:
    """Of a depth image float32 ``[H, W]`` with NaN holes, metres; ``relative`` depth has no unit: holes only."""
    values = {"depth_dark_border": _share(np.isnan(border(depth, bottom=True)))}
    if region is None:
        return values
    crop = cut(depth, region)
    inner = middle(crop)
    known = inner[~np.isnan(inner)]
    values["depth_missing"] = _share(np.isnan(crop))
    values["depth_missing_middle"] = _share(np.isnan(inner))
    if relative or known.size < _FEWEST:
        return values
    low, high = np.percentile(known, [5, 95])
    return values | {
        "depth_distance": float(np.median(known)),
        "depth_relief": 1000 * float(high - low),
        "depth_plane": 1000 * plane_deviation(inner),
        "depth_noise": 1000 * noise(crop),
    }


def box_statistics(box: Box, reference: tuple[int, int]) -> Values:
    """Height in pixels, middle as a share of the image (``reference``: height, width), and width over height."""
    x, y = box.centre
    return {
        "box_height": box.h,
        "box_x": x / reference[1],
        "box_y": y / reference[0],
        "box_aspect": box.w / box.h,
    }


def file_statistics(modality: str, shape: tuple[int, ...], size: int, *, lossy: bool) -> Values:
    """Of an image file: ``size`` bytes, decoded to ``shape`` (height, width, ...)."""
    height, width = shape[:2]
    return {
        f"{modality}_bytes": float(size),
        f"{modality}_bytes_per_pixel": size / (height * width),
        f"{modality}_width": float(width),
        f"{modality}_height": float(height),
        f"{modality}_aspect": width / height,
        f"{modality}_lossy": float(lossy),
    }


def cut(image: NDArray[Any], region: Region) -> NDArray[Any]:
    """The pixels of a region."""
    return image[region.y : region.y + region.side, region.x : region.x + region.side]


def middle(image: NDArray[Any]) -> NDArray[Any]:
    """The central third in both directions."""
    top, left = image.shape[0] // 3, image.shape[1] // 3
    return image[top : image.shape[0] - top, left : image.shape[1] - left]


def border(image: NDArray[Any], *, bottom: bool = False) -> NDArray[Any]:
    """Pixels of the top, left and right edge as one vector; below is a chest, so ``bottom`` is asked for."""
    width = max(1, round(_BORDER * min(image.shape[:2])))
    parts = [image[:width].ravel(), image[:, :width].ravel(), image[:, -width:].ravel()]
    return np.concatenate([*parts, image[-width:].ravel()] if bottom else parts)


def noise(depth: Floats) -> float:
    """Robust sigma (1.4826 MAD) of the middle third about a Gaussian of 1.5 pixels, in the unit of ``depth``.

    Holes take no part in the smoothing (around them, on a steep surface, the slope adds a little). White noise of
    standard deviation s gives 0.945 s: the smoothed image follows it.
    """
    valid = ~np.isnan(depth)
    filled = np.where(valid, depth, np.float32(0.0))
    weight: Floats = cv2.GaussianBlur(valid.astype(np.float32), (0, 0), NOISE_BLUR_PX)
    smooth: Floats = cv2.GaussianBlur(filled, (0, 0), NOISE_BLUR_PX)
    rest = middle(depth - smooth / np.maximum(weight, np.float32(1e-6)))
    rest = rest[~np.isnan(rest)]
    return 1.4826 * float(np.median(np.abs(rest - np.median(rest))))


def plane_deviation(depth: Floats) -> float:
    """Relief (5th to 95th percentile) that is left after the plane of best fit, in the unit of ``depth``.

    Through a pinhole a plane is linear in inverse depth, however it is tilted. Outliers are put aside once.
    """
    rows, columns = np.nonzero(~np.isnan(depth))
    z = depth[rows, columns].astype(np.float64)
    design = np.column_stack([columns, rows, np.ones(z.size)])
    keep = np.ones(z.size, bool)
    rest = np.zeros(z.size)
    for _ in range(2):
        plane = np.linalg.lstsq(design[keep], 1.0 / z[keep], rcond=None)[0]
        rest = z - 1.0 / np.maximum(design @ plane, 1e-6)
        sigma = 1.4826 * np.median(np.abs(rest - np.median(rest)))
        keep = np.abs(rest - np.median(rest)) <= max(3 * sigma, 1e-9)
    low, high = np.percentile(rest, [5, 95])
    return float(high - low)


def _sharpness(grey: Floats, floor: float) -> float:
    """Variance of the Laplacian over that of the image."""
    edges: Floats = cv2.Laplacian(grey, cv2.CV_32F)
    return float(edges.var()) / (float(grey.var()) + floor)


def _share(where: NDArray[np.bool_]) -> float:
    return float(where.mean())
