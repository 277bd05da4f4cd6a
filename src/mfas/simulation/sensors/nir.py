"""A near-infrared camera beside its own emitter."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mfas.config import Config
from mfas.simulation.geometry import Floats
from mfas.simulation.ranges import AmountRange, PositiveRange


class NirCamera(Config):
    """Settings of a near-infrared camera; pairs are ranges drawn per presentation."""

    gain: PositiveRange = Field(default=(0.9, 1.2), description="level per unit of radiance; 1 = full scale")
    automatic: float = Field(
        default=0.0, ge=0, le=1, description="0 = fixed gain, 1 = exposure follows the picture's bright end"
    )
    aim: float = Field(default=0.6, gt=0, le=1, description="level the automatic exposure gives the 90th percentile")
    ambient: AmountRange = Field(default=(0.0, 0.03), description="room or sun light relative to the emitter")
    blur_px: AmountRange = Field(default=(0.5, 0.9), description="lens blur, Gaussian sigma")
    photons: float = Field(default=1500.0, gt=0, description="photo-electrons at full scale")
    read_noise: float = Field(default=0.006, ge=0, description="standard deviation relative to full scale")
    hotspot: float = Field(default=0.2, ge=0, le=1, description="loss of emitter light from the middle to the corner")
    exponent: float = Field(default=1.0, gt=0, description="tone curve: level ** exponent")
    bits: Literal[8, 16] = Field(default=8, description="of the image it delivers")

    def expose(
        self, active: Floats, passive: Floats, rng: np.random.Generator, tune: np.random.Generator
    ) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """Radiance under the emitter and under the scene's light, each (H, W), to uint8 or uint16 (H, W), by ``bits``.

        ``tune`` draws what stays for a presentation, ``rng`` what changes each frame.
        """
        size = active.shape[0]
        y, x = (np.mgrid[:size, :size] + 0.5) / size * 2 - 1
        light = active * (1 - self.hotspot * (x * x + y * y) / 2).astype(np.float32)
        image = light + tune.uniform(*self.ambient) * passive
        image = cv2.GaussianBlur(image.astype(np.float32), (0, 0), max(0.2, tune.uniform(*self.blur_px)))
        gain = tune.uniform(*self.gain)
        bright = max(float(np.percentile(image, 90)), 0.02)
        gain = gain ** (1 - self.automatic) * (self.aim / bright) ** self.automatic
        image = np.clip(image * gain * np.exp(0.015 * rng.standard_normal()), 0, None)
        noise = np.sqrt(image / self.photons + self.read_noise**2)
        image = image + noise * rng.standard_normal(image.shape, dtype=np.float32)
        counts: Floats = np.clip(image, 0, 1) ** self.exponent * (2**self.bits - 1) + 0.5
        return counts.astype(np.uint8) if self.bits == 8 else counts.astype(np.uint16)
