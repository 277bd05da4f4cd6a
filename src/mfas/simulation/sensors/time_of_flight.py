"""Time of flight: phase of modulated light."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mfas.simulation.geometry import Floats
from mfas.simulation.ranges import PositiveRange
from mfas.simulation.sensors._depth import DepthSensor


class TimeOfFlight(DepthSensor):
    """Settings of a time-of-flight sensor."""

    kind: Literal["time_of_flight"] = "time_of_flight"
    noise_mm: float = Field(
        default=1.7, ge=0, description="standard deviation at a returned signal of 0.5; goes with its root"
    )
    offset_mm: float = Field(default=4.0, ge=0, description="amplitude-dependent offset of a black surface (wiggling)")
    multipath: float = Field(
        default=0.12, ge=0, le=1, description="share of light that took a detour through the scene"
    )
    multipath_px: float = Field(default=7.0, gt=0)
    flying: float = Field(default=0.7, ge=0, le=1, description="share of edge pixels that mix front and back")
    edge_hole: float = Field(default=0.5, ge=0, le=1, description="share of mixed pixels the sensor notices and drops")
    dark_hole: float = Field(default=0.02, ge=0, description="returned signal below which there is no answer")
    reach_mm: PositiveRange = (300.0, 4500.0)

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

        ``sun`` is ambient infrared relative to the emitter, ``focal`` in pixels.
        """  # fmt: skip
        del facing, focal
        filled = np.where(z > 0, z, self.reach_mm[1]).astype(np.float32)
        near = cv2.erode(filled, np.ones((3, 3), np.uint8))
        far = cv2.dilate(filled, np.ones((3, 3), np.uint8))
        edge = cv2.dilate((far - near > 30).astype(np.uint8), np.ones((2, 2), np.uint8)).astype(bool)
        weight = rng.random(z.shape, dtype=np.float32)
        mixed = edge & (rng.random(z.shape, dtype=np.float32) < self.flying)
        out = np.where(mixed, near + weight * (far - near), filled)
        local = np.minimum(filled, near + 60)
        scattered = cv2.GaussianBlur(local, (0, 0), self.multipath_px)
        out = out + np.where(edge, 0, self.multipath * np.clip(scattered - local, -25, 25))
        strength = np.clip(signal, 1e-3, 2.0)
        out = out + self.offset_mm * np.exp(-strength * 4)
        sigma = self.noise_mm * np.sqrt(0.5 / strength) * np.sqrt(1 + sun)
        out = out + np.minimum(sigma, 40) * rng.standard_normal(z.shape, dtype=np.float32)
        burnt = (gloss > 0.3) & (signal > 1.6)
        holes = (z <= 0) | (strength < self.dark_hole * (1 + 2 * sun)) | burnt
        holes |= edge & (rng.random(z.shape, dtype=np.float32) < self.edge_hole)
        return self.counts(out.astype(np.float32), holes)
