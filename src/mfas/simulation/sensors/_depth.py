"""What the three depth principles share."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mfas.config import Config
from mfas.simulation._numba import kernel
from mfas.simulation.geometry import Floats
from mfas.simulation.ranges import PositiveRange


@kernel
def baseline_shadow(z: Floats, disparity_mm: float) -> NDArray[np.bool_]:
    """Where a second eye or emitter, displaced to the right, is covered by something nearer. (H, W).

    ``disparity_mm`` = focal length in pixels times the baseline in mm. A pixel is covered when a pixel to its right
    lands at the same or a smaller column in the second view.
    """
    height, width = z.shape
    out = np.zeros((height, width), np.bool_)
    for y in range(height):
        least = np.float32(1e9)
        for x in range(width - 1, -1, -1):
            if z[y, x] <= 0:
                continue
            at = x - disparity_mm / z[y, x]
            if at > least + 0.3:
                out[y, x] = True
            elif at < least:
                least = at
    return out


def blobs(rng: np.random.Generator, shape: tuple[int, int], sigma_px: float) -> Floats:
    """Gaussian noise (H, W) of unit variance, correlated over ``sigma_px`` pixels."""
    white = rng.standard_normal(shape, dtype=np.float32)
    if sigma_px < 0.3:
        return white
    smooth = cv2.GaussianBlur(white, (0, 0), sigma_px)
    return np.asarray(smooth / (smooth.std() + 1e-9), np.float32)


class DepthSensor(Config):
    """What every depth principle has: how far it reaches, and the unit its 16-bit numbers count."""

    reach_mm: PositiveRange = Field(default=(150.0, 4000.0), description="nearest and farthest")
    unit_mm: float = Field(default=1.0, gt=0, le=10, description="millimetres per count of the 16-bit image")

    def counts(self, z: Floats, holes: NDArray[np.bool_]) -> NDArray[np.uint16]:
        """Depth ``z`` (H, W) mm as uint16 counts of ``unit_mm``; 0 where there is a hole or ``z`` is out of reach."""
        bad = holes | (z < self.reach_mm[0]) | (z > self.reach_mm[1]) | ~np.isfinite(z)
        return np.where(bad, 0, np.rint(np.clip(z / self.unit_mm, 0, 65535))).astype(np.uint16)
