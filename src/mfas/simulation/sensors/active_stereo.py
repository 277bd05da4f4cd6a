"""Active stereo: two infrared cameras and a texture projector."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mfas.simulation.geometry import Floats
from mfas.simulation.ranges import PositiveRange
from mfas.simulation.sensors._depth import DepthSensor, baseline_shadow, blobs


class ActiveStereo(DepthSensor):
    """Settings of an active-stereo sensor."""

    kind: Literal["active_stereo"] = "active_stereo"
    baseline_mm: float = Field(default=50.0, gt=0)
    subpixel: float = Field(
        default=0.08, ge=0, description="standard deviation of the disparity in pixels of the sensor"
    )
    sensor_focal_px: float = Field(
        default=640.0, gt=0, description="focal length of the sensor itself, in its own pixels"
    )
    noise_px: float = Field(default=1.8, ge=0, description="over how many image pixels that noise is correlated")
    window_px: float = Field(default=1.8, ge=0, description="matching window: smooths relief, fattens edges")
    bland_hole: float = Field(
        default=0.5, ge=0, le=1, description="how readily surfaces that sunlight outshines are lost"
    )
    shine_hole: float = Field(default=0.5, ge=0, le=1)
    reach_mm: PositiveRange = (250.0, 6000.0)

    def measure(
        self,
        z: Floats,
        signal: Floats,
        facing: Floats,
        gloss: Floats,
        sun: float,
        focal: float,
        rng: np.random.Generator,
    ) -> NDArray[np.uint16]:
        """True depth ``z`` (H, W) mm, returned ``signal``, ``facing`` cosine, ``gloss`` 0 to 1 -> counts, 0 = hole.

        ``sun`` is ambient infrared relative to the emitter, ``focal`` in pixels. Depth noise is
        ``z^2 / (focal * baseline) * subpixel``.
        """  # fmt: skip
        shape = (z.shape[0], z.shape[1])
        filled = np.where(z > 0, z, self.reach_mm[1]).astype(np.float32)
        side = 2 * round(self.window_px) + 1
        ragged = np.where(blobs(rng, shape, 1.5) > -0.4, side, 1)
        fat = np.where(ragged > 1, cv2.erode(filled, np.ones((side, side), np.uint8)), filled)
        step = filled - fat > 40
        body = cv2.GaussianBlur(np.minimum(filled, cv2.erode(filled, np.ones((side, side), np.uint8)) + 40), (0, 0),
                                max(0.3, self.window_px))  # fmt: skip
        out = np.where(step, fat, body)
        sigma = out**2 / (self.sensor_focal_px * self.baseline_mm) * self.subpixel * np.sqrt(1 + sun)
        out = out + sigma * blobs(rng, shape, self.noise_px)
        luck = blobs(rng, shape, 2.0)
        covered = baseline_shadow(z, focal * self.baseline_mm)
        contrast = signal / (0.05 + signal + 0.35 * sun)
        bland = contrast < self.bland_hole * 0.5 * (1 + 0.6 * luck)
        shine = (gloss > 0.3) & (facing > 0.97) & (luck > 2 - 3 * self.shine_hole)
        return self.counts(out.astype(np.float32), covered | bland | shine | (z <= 0))
