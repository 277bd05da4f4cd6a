"""Augmentation on batches of network input: geometry shared by the three images, light and noise by modality.

Works on normalised tensors on the CPU: disturbances are in sensor units and brought over by the model card's numbers.
Every draw comes from one `torch.Generator`, so a run can be repeated. Geometry is one ``warp_affine`` per modality.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from kornia.geometry.transform import warp_affine
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from mfas.card import Preprocess
from mfas.core import Batch, Modality
from mfas.data.augment_rgb import CameraConfig, after_noise, before_noise, occlude


class AugmentConfig(CameraConfig):
    """Largest disturbance of each kind; 0 switches one off, ``enabled`` all of them.

    Geometry: flip probability, degrees, scale and shift as shares. RGB: brightness, contrast, saturation as shares,
    hue in radians, noise as a share of the range, blur probability. Depth: relief scale as a share, offset and noise
    in metres, probability of smoothing, of a further hole, of a background that is not measured; largest share of lost
    pixels. IR: gain and gamma as shares, noise and ambient light as a share of the face's level, blur probability, and
    that of a covering patch of any brightness (off by default).

    For cameras far from those trained on, see `mfas.data.augment_rgb.CameraConfig`.
    """

    enabled: bool = True
    flip: float = Field(0.5, ge=0, le=1)
    rotate_deg: float = Field(12.0, ge=0, le=180)
    scale: float = Field(0.10, ge=0, lt=1)
    translate: float = Field(0.06, ge=0, lt=1)
    brightness: float = Field(0.4, ge=0, le=1)
    contrast: float = Field(0.4, ge=0, le=1)
    saturation: float = Field(0.5, ge=0, le=1)
    hue: float = Field(0.2, ge=0)
    rgb_noise: float = Field(0.05, ge=0)
    blur: float = Field(0.4, ge=0, le=1)
    depth_scale: float = Field(0.2, ge=0, lt=1)
    depth_offset_m: float = Field(0.015, ge=0)
    depth_noise_m: float = Field(0.006, ge=0)
    depth_blur: float = Field(0.5, ge=0, le=1)
    hole: float = Field(0.3, ge=0, le=1)
    lost_pixels: float = Field(0.05, ge=0, lt=1)
    background_off: float = Field(0.4, ge=0, le=1)
    ir_gain: float = Field(0.4, ge=0, lt=1)
    ir_gamma: float = Field(0.4, ge=0, lt=1)
    ir_noise: float = Field(0.08, ge=0)
    ir_ambient: float = Field(0.3, ge=0)
    ir_blur: float = Field(0.4, ge=0, le=1)
    ir_occlusion: float = Field(0.0, ge=0, le=1)


class Augment:
    """Disturb a `Batch`, differently for each capture; gaps stay zero, holes stay holes, ``present`` is untouched."""

    def __init__(self, spec: Preprocess, seed: int = 0, config: AugmentConfig | None = None) -> None:
        self.spec = spec
        self.config = config or AugmentConfig()
        self.generator = torch.Generator().manual_seed(seed)
        self._mean = torch.tensor(spec.rgb_mean).view(1, 3, 1, 1)
        self._std = torch.tensor(spec.rgb_std).view(1, 3, 1, 1)
        self._harsh = not self.config.off

    def __call__(self, batch: Batch) -> Batch:
        """A new batch of the same captures; the one given is left as it was."""
        if not self.config.enabled:
            return batch
        count = len(batch)
        matrix = self._matrices(count)
        images: dict[Modality, Tensor] = {}
        change = {Modality.RGB: self._rgb, Modality.DEPTH: self._depth, Modality.IR: self._ir}
        for column, modality in enumerate(Modality):
            # the draws do not depend on which modalities are there, so that a pattern changes nothing else
            seed = int(torch.randint(2**62, (1,), generator=self.generator))
            if modality not in batch.images:
                continue
            moved = self._warp(batch.images[modality], matrix, nearest=modality is Modality.DEPTH)
            changed = change[modality](moved, torch.Generator().manual_seed(seed))
            there = batch.present[:, column]
            images[modality] = changed if bool(there.all()) else changed * there.view(-1, 1, 1, 1)
        return replace(batch, images=images)

    def _matrices(self, count: int) -> Tensor:
        """Affine ``[B, 2, 3]`` in pixels: a mirror for some, rotation and scale about the middle, then a shift."""
        config, size = self.config, self.spec.size
        angle = torch.deg2rad(self._signed(count) * config.rotate_deg)
        zoom = 1.0 + self._signed(count) * config.scale
        shift = torch.stack([self._signed(count), self._signed(count)], dim=1) * config.translate * size
        side = torch.where(torch.rand(count, generator=self.generator) < config.flip, -1.0, 1.0)
        middle = (size - 1) / 2
        cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
        x = middle - cos * side * middle - sin * middle + shift[:, 0]
        y = middle + sin * side * middle - cos * middle + shift[:, 1]
        return torch.stack([torch.stack([cos * side, sin, x], 1), torch.stack([-sin * side, cos, y], 1)], dim=1)

    def _warp(self, image: Tensor, matrix: Tensor, *, nearest: bool) -> Tensor:
        """Borders repeat for RGB and infrared; depth moves by nearest pixel and gains holes where nothing was seen."""
        shape = (image.shape[-2], image.shape[-1])
        mode, padding = ("nearest", "zeros") if nearest else ("bilinear", "border")
        out: Tensor = warp_affine(image, matrix, shape, mode=mode, padding_mode=padding, align_corners=True)
        return out

    def _rgb(self, image: Tensor, generator: torch.Generator) -> Tensor:
        config, count = self.config, image.shape[0]
        draw = _signed((4, count, 1), generator)
        # chroma, contrast and brightness are affine in the pixel, so they are one matrix and one offset per capture
        average = image.mean(dim=(2, 3)) * self._std.view(1, 3) + self._mean.view(1, 3)
        matrix = _colour_matrix(draw[2] * config.saturation, draw[3] * config.hue)
        level = average.mean(dim=1, keepdim=True)
        gain = 1 + draw[1] * config.contrast
        matrix = matrix * gain.view(-1, 1, 1)
        offset = level * (1 + draw[0] * config.brightness) - level * gain
        std, mean = self._std.view(3), self._mean.view(3)
        offset = (offset + torch.einsum("bij,j->bi", matrix, mean) - mean) / std
        matrix = matrix * std.view(1, 1, 3) / std.view(1, 3, 1)
        x = torch.baddbmm(offset.unsqueeze(-1), matrix, image.flatten(2)).view_as(image)
        x = _soften(x, config.blur, generator)
        if self._harsh:
            x = self._normal(before_noise(self._pixels(x), config, generator))
        strength = torch.rand((count, 1, 1, 1), generator=generator) * config.rgb_noise
        x.addcmul_(torch.randn(x.shape, generator=generator), strength / self._std)
        if self._harsh:
            x = self._normal(after_noise(self._pixels(x), config, generator))
        return torch.clamp(x, -self._mean / self._std, (1 - self._mean) / self._std)

    def _pixels(self, x: Tensor) -> Tensor:
        return torch.clamp(x * self._std + self._mean, 0.0, 1.0)

    def _normal(self, pixels: Tensor) -> Tensor:
        return (pixels - self._mean) / self._std

    def _depth(self, image: Tensor, generator: torch.Generator) -> Tensor:
        config, count = self.config, image.shape[0]
        unit = 1.0 / self.spec.depth_clip_m
        depth, valid = image[:, :1], image[:, 1:]
        draw = _signed((2, count, 1, 1, 1), generator)
        strength = torch.rand((count, 1, 1, 1), generator=generator) * config.depth_noise_m * unit
        depth = depth * (1 + draw[0] * config.depth_scale) + draw[1] * config.depth_offset_m * unit
        depth = self._smooth_relief(depth * valid, valid, generator)
        depth = depth.addcmul_(torch.randn(depth.shape, generator=generator), strength).clamp_(-1.0, 1.0)
        lost = torch.rand((count, 1, 1, 1), generator=generator) * config.lost_pixels
        valid = valid * (torch.rand(depth.shape, generator=generator) >= lost)
        valid = valid * ~self._holes(count, image.shape[-1], generator)
        far = torch.rand((count, 1, 1, 1), generator=generator) < config.background_off
        valid = valid * ~(far & (depth > 0.9))
        return torch.cat([depth * valid, valid], dim=1)

    def _smooth_relief(self, depth: Tensor, valid: Tensor, generator: torch.Generator) -> Tensor:
        """Average over measured neighbours, for some captures: what stereo matching does to relief."""
        chosen = torch.rand(depth.shape[0], generator=generator) < self.config.depth_blur
        if not bool(chosen.any()):
            return depth
        total = functional.avg_pool2d(depth[chosen], 5, 1, 2)
        share = functional.avg_pool2d(valid[chosen], 5, 1, 2)
        depth = depth.clone()
        depth[chosen] = total / share.clamp_min(0.04)
        return depth

    def _holes(self, count: int, size: int, generator: torch.Generator) -> Tensor:
        """Bool ``[B, 1, S, S]``: at most one ellipse per capture, up to a third of the image wide."""
        draw = torch.rand((5, count, 1, 1), generator=generator)
        axis = torch.linspace(0.0, 1.0, size)
        dx = (axis.view(1, 1, -1) - draw[0]) / (0.02 + 0.15 * draw[2])
        dy = (axis.view(1, -1, 1) - draw[1]) / (0.02 + 0.15 * draw[3])
        inside = (dx.square() + dy.square() < 1.0) & (draw[4] < self.config.hole)
        return inside.unsqueeze(1)

    def _ir(self, image: Tensor, generator: torch.Generator) -> Tensor:
        config, spec, count = self.config, self.spec, image.shape[0]
        draw = _signed((2, count, 1, 1, 1), generator)
        x = image.mul(spec.ir_std).add_(spec.ir_mean).clamp_(1e-6, spec.ir_clip).div_(spec.ir_clip)
        x = _soften(x, config.ir_blur, generator)
        x = x.pow_(1 + draw[1] * config.ir_gamma).mul_(spec.ir_clip * (1 + draw[0] * config.ir_gain))
        x = x.add_(torch.rand((count, 1, 1, 1), generator=generator) * config.ir_ambient)
        if config.ir_occlusion:
            x = occlude(x.div_(spec.ir_clip), config.ir_occlusion, generator).mul_(spec.ir_clip)
        strength = torch.rand((count, 1, 1, 1), generator=generator) * config.ir_noise
        x = x.addcmul_(torch.randn(x.shape, generator=generator), strength).clamp_(0.0, spec.ir_clip)
        return x.sub_(spec.ir_mean).div_(spec.ir_std)

    def _signed(self, count: int) -> Tensor:
        return _signed((count,), self.generator)


def _soften(x: Tensor, chance: float, generator: torch.Generator) -> Tensor:
    """A 3 x 3 box blur for some captures of ``[B, C, S, S]``."""
    chosen = torch.rand(x.shape[0], generator=generator) < chance
    if bool(chosen.any()):
        x[chosen] = functional.avg_pool2d(x[chosen], 3, 1, 1, count_include_pad=False)
    return x


def _signed(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator) * 2.0 - 1.0


def _colour_matrix(saturation: Tensor, hue: Tensor) -> Tensor:
    """``[B, 3, 3]`` acting on RGB: chroma scaled by 1 + saturation, turned by ``hue`` radians about grey."""
    grey = torch.full((3, 3), 1.0 / 3.0)
    cross = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / 3.0**0.5
    angle, factor = hue.view(-1, 1, 1), 1.0 + saturation.view(-1, 1, 1)
    turn = torch.cos(angle) * (torch.eye(3) - grey) + torch.sin(angle) * cross
    out: Tensor = grey + factor * turn
    return out
