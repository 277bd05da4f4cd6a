"""Structured light: a dot pattern, seen from a baseline away."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mfas.simulation.geometry import Floats
from mfas.simulation.ranges import PositiveRange
from mfas.simulation.sensors._depth import DepthSensor, baseline_shadow, blobs


class StructuredLight(DepthSensor):
    """Settings of a structured-light sensor."""

    kind: Literal["structured_light"] = "structured_light"
    baseline_mm: float = Field(
        default=40.0, gt=0, description="emitter to camera; the shadow lies on the left of the silhouette"
    )
    noise_mm: float = Field(
        default=1.0, ge=0, description="standard deviation at reference_mm, growing with distance squared"
    )
    noise_px: float = Field(default=0.8, ge=0, description="over how many pixels that noise is correlated")
    reference_mm: float = Field(default=700.0, gt=0)
    step_mm: float = Field(default=0.0, ge=0, description="depth step of one disparity level at reference_mm")
    smooth_px: float = Field(default=0.7, ge=0, description="matching window, blurs the relief")
    dark_hole: float = Field(default=0.06, ge=0, description="returned signal below which dots are lost, 0 to 1")
    steep_hole: float = Field(default=0.22, ge=0, le=1, description="cosine below which dots are lost")
    shine_hole: float = Field(
        default=0.4, ge=0, le=1, description="how readily a shiny surface facing the emitter is lost"
    )
    speckle_hole: float = Field(default=0.002, ge=0, le=1, description="share of pixels lost anywhere")
    reach_mm: PositiveRange = (150.0, 4000.0)

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
        shape = (z.shape[0], z.shape[1])
        holes = baseline_shadow(z, focal * self.baseline_mm) | (z <= 0)
        smooth = _guided_blur(z, self.smooth_px)
        scale = (smooth / self.reference_mm) ** 2
        out = smooth + self.noise_mm * scale * blobs(rng, shape, self.noise_px)
        if self.step_mm > 0:
            step = np.maximum(self.step_mm * scale, 1e-3)
            out = np.rint(out / step) * step
        luck = blobs(rng, shape, 1.0)
        weak = signal / (1 + 2 * sun) < self.dark_hole * (1 + 0.5 * luck)
        steep = facing < self.steep_hole * (1 + 0.4 * luck)
        shine = (gloss > 0.3) & (facing > 0.985 + 0.006 * luck) & (luck < 3 * self.shine_hole)
        lost = rng.random(shape, dtype=np.float32) < self.speckle_hole
        lost = cv2.dilate(lost.astype(np.uint8), np.ones((2, 2), np.uint8)).astype(bool)
        return self.counts(out, holes | weak | steep | shine | lost)


def _guided_blur(z: Floats, sigma_px: float) -> Floats:
    """A Gaussian that does not reach across steps of more than 25 mm."""
    if sigma_px < 0.2:
        return z
    smooth = cv2.GaussianBlur(z, (0, 0), sigma_px)
    spread = cv2.dilate(z, np.ones((3, 3), np.uint8)) - cv2.erode(z, np.ones((3, 3), np.uint8))
    return np.where(spread < 25, smooth, z).astype(np.float32)
