"""What goes wrong with sensors: settings of each fault, and what it does to an image.

All are off by default. A setting that is a bare number is the probability: ``dark_ir: 0.3`` means
``dark_ir: {probability: 0.3}``, ``dropout: 0.1`` that of every modality. Functions here draw nothing; what befalls a
capture is drawn in `mfas.simulation.fault_draws`, from site, seed and index, never from label or species.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from mfas.config import Config
from mfas.simulation.geometry import Floats
from mfas.simulation.ranges import rising
from mfas.simulation.sensors import NirCamera, RgbCamera

PixelT = TypeVar("PixelT", np.uint8, np.uint16)


Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Pixels = Annotated[float, Field(ge=0, le=512, allow_inf_nan=False)]
PixelRange = Annotated[tuple[Pixels, Pixels], AfterValidator(rising)]
Seconds = Annotated[float, Field(ge=0.2, le=604800, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=32)]
Percent = Annotated[float, Field(ge=0, le=20, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Factor = Annotated[float, Field(ge=1, le=64, allow_inf_nan=False)]


class _Fault(Config):
    """A bare number stands for the probability, of every modality where they are listed."""

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return {name: value for name in ("probability", "rgb", "depth", "ir") if name in cls.model_fields}
        return value

    @property
    def off(self) -> bool:
        """Whether it can never happen."""
        return not any(getattr(self, name, 0) for name in ("probability", "rgb", "depth", "ir"))


class DropOut(_Fault):
    """A modality is missing for a while; the same for whoever stands there."""

    rgb: Probability = Field(default=0.0, description="share of time without colour")
    depth: Probability = Field(default=0.0, description="share of time without depth")
    ir: Probability = Field(default=0.0, description="share of time without infrared")
    spell_s: Annotated[tuple[Seconds, Seconds], AfterValidator(rising)] = Field(
        default=(1800.0, 7200.0), description="shortest and longest spell, seconds of stream time; neighbours join"
    )


class DarkIr(_Fault):
    """The pulse of the infrared emitter misses the frame: ambient light only."""

    probability: Probability = Field(default=0.0, description="of a frame")
    residual: Share = Field(default=0.0, description="share of the emitter's light that still arrives")


class DepthHoles(_Fault):
    """Blobs of missing depth beyond the sensor's own."""

    probability: Probability = Field(default=0.0, description="of a frame")
    blobs: Annotated[tuple[Count, Count], AfterValidator(rising)] = Field(default=(1, 4), description="how many")
    size_px: PixelRange = Field(default=(6.0, 24.0), description="diameter, image pixels")


class Misregistration(_Fault):
    """Depth and infrared lie shifted and slightly scaled against colour for a whole presentation."""

    probability: Probability = Field(default=0.0, description="of a presentation")
    shift_px: PixelRange = Field(default=(1.0, 4.0), description="length of the shift, image pixels")
    scale_percent: Annotated[tuple[Percent, Percent], AfterValidator(rising)] = Field(
        default=(0.0, 2.0), description="too large or too small by that much"
    )


class ExposureJump(_Fault):
    """One frame over- or under-exposed, either way as often."""

    rgb: Probability = Field(default=0.0, description="of a colour frame")
    ir: Probability = Field(default=0.0, description="of an infrared frame")
    factor: Annotated[tuple[Factor, Factor], AfterValidator(rising)] = Field(
        default=(2.0, 4.0), description="of linear exposure, up or down"
    )


class LensDirt(_Fault):
    """Smudges on a window, at the same place of every image of a stream."""

    rgb: Probability = Field(default=0.0, description="that the window of the colour camera is dirty, per seed")
    depth: Probability = Field(default=0.0, description="the same of the depth sensor")
    ir: Probability = Field(default=0.0, description="the same of the infrared camera")
    blobs: Annotated[tuple[Count, Count], AfterValidator(rising)] = Field(default=(1, 3), description="how many")
    size: Annotated[tuple[Share, Share], AfterValidator(rising)] = Field(
        default=(0.15, 0.4), description="diameter, share of the image's side"
    )
    loss: Annotated[tuple[Share, Share], AfterValidator(rising)] = Field(
        default=(0.2, 0.6), description="share of light lost in the middle of a smudge"
    )
    blur_px: PixelRange = Field(default=(1.5, 4.0), description="blur behind a smudge, Gaussian sigma, image pixels")


class Faults(Config):
    """The ``faults`` of a site: how often sensors fail, and how badly."""

    dropout: DropOut = DropOut()
    dark_ir: DarkIr = DarkIr()
    depth_holes: DepthHoles = DepthHoles()
    misregistration: Misregistration = Misregistration()
    exposure: ExposureJump = ExposureJump()
    lens_dirt: LensDirt = LensDirt()

    def updated(self, changes: Faults) -> Faults:
        """These faults with those keys laid over them that were given for ``changes``."""
        values = self.model_dump()
        for name, settings in changes.model_dump(exclude_unset=True).items():
            values[name] |= settings
        return Faults.model_validate(values)


@dataclass(frozen=True, slots=True)
class Blob:
    """A spot with a lumpy rim: middle ``x``, ``y`` and ``diameter`` in pixels, ``turn`` of the lumps in radians."""

    x: float
    y: float
    diameter: float
    turn: float = 0.0


@dataclass(frozen=True, slots=True)
class Move:
    """How an image lies against colour: ``dx`` right and ``dy`` down in pixels, ``scale`` about its middle."""

    dx: float
    dy: float
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Dirt:
    """A smudged window: ``mask`` (S, S) in [0, 1], ``loss`` of light where it is 1, ``blur_px`` behind it."""

    mask: Floats
    loss: float
    blur_px: float


def blob_mask(size: int, blobs: Sequence[Blob]) -> Floats:
    """Distance from the rim of the nearest blob in its radii (S, S): above 0 inside, 1 in a middle."""
    y, x = np.mgrid[:size, :size].astype(np.float32) + 0.5
    inside = np.full((size, size), -1.0, np.float32)
    for blob in blobs:
        dx, dy = x - blob.x, y - blob.y
        rim = blob.diameter / 2 * (1 + 0.15 * np.sin(3 * np.arctan2(dy, dx) + blob.turn))
        inside = np.maximum(inside, 1 - np.hypot(dx, dy) / np.maximum(rim, 1e-3))
    return np.asarray(inside, np.float32)


def with_holes(depth: NDArray[np.uint16], blobs: Sequence[Blob]) -> NDArray[np.uint16]:
    """Depth (S, S), 0 within the blobs."""
    if not blobs:
        return depth
    return np.where(blob_mask(depth.shape[0], blobs) > 0, 0, depth).astype(np.uint16)


def moved(image: NDArray[PixelT], move: Move | None, *, nearest: bool) -> NDArray[PixelT]:
    """An image (S, S) shifted and scaled; its edge repeats. ``nearest`` for depth, whose values must not mix."""
    if move is None:
        return image
    size = image.shape[0]
    middle = (size - 1) / 2
    matrix = np.array(
        [
            [move.scale, 0, middle * (1 - move.scale) + move.dx],
            [0, move.scale, middle * (1 - move.scale) + move.dy],
        ]
    )
    how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    out = cv2.warpAffine(image, matrix, (size, size), flags=how, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, image.dtype)


def smudged(image: Floats, dirt: Dirt | None, *, passes: int = 1) -> Floats:
    """Light (S, S) or (S, S, 3) behind a dirty window it crosses ``passes`` times (0 = blurred only)."""
    if dirt is None:
        return image
    soft = cv2.GaussianBlur(image, (0, 0), dirt.blur_px) if dirt.blur_px > 0 else image
    mask = dirt.mask if image.ndim == 2 else dirt.mask[..., None]
    return np.asarray((image + mask * (soft - image)) * (1 - mask * dirt.loss) ** passes, np.float32)


def overexposed(camera: RgbCamera, factor: float) -> RgbCamera:
    """The colour camera with ``factor`` times the linear exposure: it clips and is noisy as that exposure is."""
    if factor == 1:
        return camera
    low, high = camera.exposure
    return camera.model_copy(update={"exposure": (low * factor, high * factor)})


def overexposed_ir(camera: NirCamera, factor: float) -> NirCamera:
    """The infrared camera with ``factor`` times the linear exposure, fixed and automatic."""
    if factor == 1:
        return camera
    low, high = camera.gain
    return camera.model_copy(update={"gain": (low * factor, high * factor), "aim": camera.aim * factor})


def unlit(camera: NirCamera, active: Floats, residual: float) -> tuple[NirCamera, Floats]:
    """A frame that the emitter's pulse missed, ``residual`` of its light (S, S) left; exposure doesn't chase it."""
    return camera.model_copy(update={"automatic": 0.0}), np.asarray(active * residual, np.float32)
