"""What ordinary colour cameras do to a picture, strongly: casts, tone, blur, lost resolution, block noise, occlusion.

All functions take pixels float32 ``[B, 3, S, S]`` in [0, 1] and return new ones; each draws from the generator given.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from mfas.config import Config

_LUMINANCE_STEPS = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
"""Quantisation steps of luminance at quality 50, of 255 (ITU-T T.81, table K.1)."""

_YCC = ((0.299, 0.587, 0.114), (-0.1687, -0.3313, 0.5), (0.5, -0.4187, -0.0813))
"""RGB to luminance and two colour differences (ITU-T T.871)."""

_QUALITY = (10.0, 80.0)
_BLOCK = 8


class CameraConfig(Config):
    """Largest strengths; all off by default.

    ``rgb_cast`` and ``rgb_gamma`` are logarithms (of the gains of red and blue, of a tone curve's exponent),
    ``rgb_blur_px`` the standard deviation of a Gaussian in pixels, ``rgb_coarse`` the share of the resolution that half
    of the captures lose, ``rgb_blocks`` and ``rgb_occlusion`` the probabilities of block noise and of a covering patch.
    """

    rgb_cast: float = Field(0.0, ge=0, le=2)
    rgb_gamma: float = Field(0.0, ge=0, le=2)
    rgb_blur_px: float = Field(0.0, ge=0, le=8)
    rgb_coarse: float = Field(0.0, ge=0, lt=1)
    rgb_blocks: float = Field(0.0, ge=0, le=1)
    rgb_occlusion: float = Field(0.0, ge=0, le=1)

    @property
    def off(self) -> bool:
        """Whether nothing here changes a picture."""
        return not any(getattr(self, name) for name in CameraConfig.model_fields)


def before_noise(x: Tensor, strength: CameraConfig, generator: torch.Generator) -> Tensor:
    """What happens to light before the sensor counts it: occlusion, cast, tone, blur, coarse sampling."""
    if strength.rgb_occlusion:
        x = occlude(x, strength.rgb_occlusion, generator)
    if strength.rgb_cast or strength.rgb_gamma:
        x = recolour(x, strength.rgb_cast, strength.rgb_gamma, generator)
    if strength.rgb_blur_px:
        x = defocus(x, strength.rgb_blur_px, generator)
    if strength.rgb_coarse:
        x = coarsen(x, strength.rgb_coarse, generator)
    return x


def after_noise(x: Tensor, strength: CameraConfig, generator: torch.Generator) -> Tensor:
    """What happens to a picture once it is taken: compression."""
    return compress(x, strength.rgb_blocks, generator) if strength.rgb_blocks else x


def occlude(x: Tensor, chance: float, generator: torch.Generator) -> Tensor:
    """For some captures a rectangle, up to 0.4 of the image wide and high, of one colour; any number of channels."""
    count, channels, size = x.shape[0], x.shape[1], x.shape[-1]
    draw = torch.rand((5 + channels, count, 1, 1, 1), generator=generator)
    axis = torch.linspace(0.0, 1.0, size)
    across = (axis.view(1, 1, 1, -1) - draw[0]).abs() < 0.05 + 0.15 * draw[2]
    down = (axis.view(1, 1, -1, 1) - draw[1]).abs() < 0.05 + 0.15 * draw[3]
    covered = across & down & (draw[4] < chance)
    return torch.where(covered, draw[5:].squeeze(-1).permute(1, 0, 2, 3), x)


def recolour(x: Tensor, cast: float, gamma: float, generator: torch.Generator) -> Tensor:
    """Gains of R and B by up to ``exp(cast)`` and a tone curve with an exponent of up to ``exp(gamma)``, either way."""
    draw = torch.rand((3, x.shape[0], 1, 1), generator=generator) * 2 - 1
    gain = torch.exp(cast * torch.stack([draw[0], torch.zeros_like(draw[0]), draw[1]], dim=1).squeeze(-1))
    bright = torch.clamp(x * gain.unsqueeze(-1), 1e-4, 1.0)
    return torch.pow(bright, torch.exp(gamma * draw[2]).unsqueeze(-1))


def defocus(x: Tensor, sigma_px: float, generator: torch.Generator) -> Tensor:
    """A Gaussian blur whose standard deviation is drawn up to ``sigma_px`` pixels, for each capture its own."""
    count, channels, size, _ = x.shape
    sigma = torch.rand((count, 1), generator=generator) * sigma_px + 1e-3
    reach = max(1, round(2.5 * sigma_px))
    offset = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offset / sigma).square())
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
    flat = functional.pad(x.reshape(1, -1, size, size), (reach,) * 4, mode="replicate")
    flat = functional.conv2d(flat, kernel[:, None, None, :], groups=count * channels)
    return functional.conv2d(flat, kernel[:, None, :, None], groups=count * channels).view_as(x)


def coarsen(x: Tensor, loss: float, generator: torch.Generator) -> Tensor:
    """Half of the captures come from fewer pixels: a share of up to ``loss`` of each side is lost."""
    size = x.shape[-1]
    draw = torch.rand((2, x.shape[0]), generator=generator)
    out = x.clone()
    for row in (draw[0] < 0.5).nonzero().flatten().tolist():
        small = max(4, round(size * (1 - loss * float(draw[1, row]))))
        few = functional.interpolate(x[row : row + 1], size=(small, small), mode="area")
        out[row] = functional.interpolate(few, size=(size, size), mode="bilinear", align_corners=False)[0]
    return out


def compress(x: Tensor, chance: float, generator: torch.Generator) -> Tensor:
    """For some captures, coefficients of 8 x 8 blocks rounded as JPEG does at a quality of 10 to 80."""
    count, _, size, _ = x.shape
    draw = torch.rand((2, count), generator=generator)
    down, right = torch.randint(_BLOCK, (2,), generator=generator).tolist()
    chosen = draw[0] < chance
    if not bool(chosen.any()):
        return x
    quality = _QUALITY[0] + (_QUALITY[1] - _QUALITY[0]) * draw[1][chosen]
    factor = torch.where(quality < 50, 50 / quality, 2 - quality / 50)
    step = torch.tensor(_LUMINANCE_STEPS) / 255 * factor.view(-1, 1, 1, 1, 1, 1)
    matrix, cosine = torch.tensor(_YCC), _cosines()
    # the grid of blocks lies anywhere: a face crop starts anywhere in the picture that was compressed
    pad = (right, -(size + right) % _BLOCK, down, -(size + down) % _BLOCK)
    ycc = torch.einsum("ij,bjyx->biyx", matrix, functional.pad(x[chosen], pad, mode="replicate") - 0.5)
    height, width = ycc.shape[-2] // _BLOCK, ycc.shape[-1] // _BLOCK
    blocks = ycc.view(-1, 3, height, _BLOCK, width, _BLOCK).transpose(3, 4)
    rounded = torch.round(cosine @ blocks @ cosine.T / step) * step
    ycc = (cosine.T @ rounded @ cosine).transpose(3, 4).reshape(ycc.shape)
    back = torch.einsum("ij,bjyx->biyx", torch.linalg.inv(matrix), ycc) + 0.5
    out = x.clone()
    out[chosen] = back[..., down : down + size, right : right + size].clamp(0.0, 1.0)
    return out


def _cosines() -> Tensor:
    """The orthonormal 8 x 8 matrix of the discrete cosine transform."""
    k = torch.arange(_BLOCK, dtype=torch.float32)
    matrix: Tensor = torch.cos((2 * k[None, :] + 1) * k[:, None] * torch.pi / (2 * _BLOCK)) * (2 / _BLOCK) ** 0.5
    matrix[0] /= 2**0.5
    return matrix
