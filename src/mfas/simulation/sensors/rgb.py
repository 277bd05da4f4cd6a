"""A colour camera: scene radiance to an 8-bit picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mfas.config import Config
from mfas.simulation.geometry import Floats
from mfas.simulation.ranges import AmountRange, PercentRange, PositiveRange


class RgbCamera(Config):
    """Settings of a colour camera; pairs are ranges drawn per presentation."""

    exposure: PositiveRange = Field(
        default=(0.16, 0.26), description="mean linear level the automatic exposure aims at, 0 to 1"
    )
    exposure_error: float = Field(default=0.15, ge=0, description="standard deviation of that, log scale")
    cast: tuple[float, float, float] = Field(
        default=(1.0, 1.0, 1.0), description="gains of R, G, B this camera always has"
    )
    white_balance_error: float = Field(
        default=0.04, ge=0, description="standard deviation of the R and B gains, log scale"
    )
    blur_px: AmountRange = Field(default=(0.3, 0.7), description="lens blur, Gaussian sigma")
    motion_px: AmountRange = Field(default=(0.0, 1.5), description="length of motion blur")
    sampling: PositiveRange = Field(
        default=(1.0, 1.0), description="sensor pixels per image pixel; below 1 the picture is enlarged"
    )
    photons: float = Field(default=4000.0, gt=0, description="photo-electrons at full scale")
    read_noise: float = Field(default=0.002, ge=0, description="standard deviation relative to full scale")
    jpeg: PercentRange = Field(default=(80, 95), description="quality of the compression the stream went through")
    vignette: float = Field(default=0.15, ge=0, le=1, description="loss of light in the corner")
    saturation: float = Field(default=1.0, ge=0, description="colour saturation of the picture style")
    contrast: float = Field(default=1.0, gt=0, description="exponent on the tone curve")

    def expose(self, radiance: Floats, rng: np.random.Generator, tune: np.random.Generator) -> NDArray[np.uint8]:
        """Linear ``radiance`` (H, W, 3) to an sRGB picture uint8 (H, W, 3).

        ``tune`` draws what stays for a presentation (exposure, balance, blur), ``rng`` what changes each frame.
        """
        image = self._optics(radiance, tune)
        gain = self._gain(image, tune) * np.exp(0.03 * rng.standard_normal())
        balance = np.exp(self.white_balance_error * tune.standard_normal(3) * np.array([1, 0, 1]))
        image = (
            image * (gain * np.array(self.cast) * balance).astype(np.float32) * _vignette(image.shape[0], self.vignette)
        )
        variance = np.maximum(image, 0) / self.photons + self.read_noise**2
        image = image + np.sqrt(variance) * rng.standard_normal(image.shape, dtype=np.float32)
        image = self._style(np.clip(image, 0, 1))
        quality = int(tune.integers(self.jpeg[0], self.jpeg[1] + 1))
        return _compress((image * 255 + 0.5).astype(np.uint8), quality)

    def _optics(self, radiance: Floats, tune: np.random.Generator) -> Floats:
        size = radiance.shape[0]
        image = cv2.GaussianBlur(radiance, (0, 0), max(0.2, tune.uniform(*self.blur_px)))
        length, turn = tune.uniform(*self.motion_px), tune.uniform(0, np.pi)
        if length > 0.4:
            image = cv2.filter2D(image, -1, _streak(length, turn))
        factor = tune.uniform(*self.sampling)
        if factor < 0.98:
            small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
            image = cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR)
        return np.asarray(image, np.float32)

    def _gain(self, image: Floats, tune: np.random.Generator) -> float:
        """Centre-weighted automatic exposure."""
        size = image.shape[0]
        centre = image[size // 5 : -size // 5, size // 5 : -size // 5].mean()
        level = 0.7 * centre + 0.3 * image.mean()
        aim = tune.uniform(*self.exposure) * np.exp(self.exposure_error * tune.standard_normal())
        return float(aim / max(float(level), 1e-3))

    def _style(self, image: Floats) -> Floats:
        tone = np.where(image <= 0.0031308, image * 12.92, 1.055 * np.maximum(image, 1e-6) ** (1 / 2.4) - 0.055)
        tone = np.clip(tone, 0, 1) ** self.contrast
        grey = tone.mean(axis=2, keepdims=True)
        return np.asarray(np.clip(grey + (tone - grey) * self.saturation, 0, 1), np.float32)


def _streak(length: float, turn: float) -> Floats:
    size = 2 * int(np.ceil(length / 2)) + 3
    y, x = np.mgrid[:size, :size] - size // 2
    along, across = x * np.cos(turn) + y * np.sin(turn), -x * np.sin(turn) + y * np.cos(turn)
    kernel = np.clip(length / 2 + 0.5 - np.abs(along), 0, 1) * np.clip(1 - np.abs(across), 0, 1)
    return np.asarray(kernel / kernel.sum(), np.float32)


def _vignette(size: int, loss: float) -> Floats:
    y, x = (np.mgrid[:size, :size] + 0.5) / size * 2 - 1
    return np.asarray((1 - loss * (x * x + y * y) / 2)[..., None], np.float32)


def _compress(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    if quality >= 100:
        return image
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]
