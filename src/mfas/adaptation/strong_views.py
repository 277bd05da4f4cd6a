"""Strong random views of a batch, as CoTTA and RoTTA show their networks, for registered images of three sensors.

Strengths are those of CoTTA's released code (CIFAR): mirror, 15 degrees, a sixteenth, scale 0.9 to 1.1, colour jitter,
blur, noise. What is ours: the geometry of a capture is drawn once for its three images; RGB alone has colours, infrared
has brightness, contrast and tone; depth is only moved, by nearest pixel, with holes where nothing was seen.
"""

from __future__ import annotations

from dataclasses import replace
from math import pi

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, conv2d, grid_sample, pad

from mfas.card import Preprocess
from mfas.core import MODALITIES, Batch, Modality

_DEGREES, _SHIFT, _SCALE = 15.0, 1 / 16, 0.1
_BRIGHTNESS, _CONTRAST, _GAMMA, _SATURATION = 0.4, 0.3, 0.3, 0.5
_HUE = 0.06 * 2 * pi
_BLUR_PX, _NOISE = 0.5, 0.005
_DRAWS = 8


def strong_view(batch: Batch, spec: Preprocess, generator: torch.Generator) -> Batch:
    """A new batch of the same captures, each disturbed on its own; gaps stay zero, ``present`` is untouched.

    Images are network input as ``spec`` made it. What one modality draws does not depend on which others are there.
    """
    count = len(batch)
    theta = _geometry(torch.rand(4, count, generator=generator), torch.rand(count, generator=generator))
    images: dict[Modality, Tensor] = {}
    for column, modality in enumerate(MODALITIES):
        draw = torch.rand(_DRAWS, count, generator=generator)
        seed = int(torch.randint(2**62, (1,), generator=generator))
        if modality not in batch.images:
            continue
        x = _move(batch.images[modality], theta, modality)
        if modality is Modality.RGB:
            x = _rgb(x, spec, draw, torch.Generator().manual_seed(seed))
        elif modality is Modality.IR:
            x = _ir(x, spec, draw, torch.Generator().manual_seed(seed))
        images[modality] = x * batch.present[:, column].view(-1, 1, 1, 1)
    return replace(batch, images=images)


def _geometry(draw: Tensor, mirror: Tensor) -> Tensor:
    """Affine ``[B, 2, 3]`` from output to input, in units of half the side; ``draw`` ``[4, B]`` in [0, 1]."""
    turn, zoom, right, down = 2 * draw - 1
    angle, scale = turn * (_DEGREES * pi / 180), 1 / (1 + zoom * _SCALE)
    side = torch.where(mirror < 0.5, -1.0, 1.0)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = [cos * side, -sin, 2 * _SHIFT * right, sin * side, cos, 2 * _SHIFT * down]
    return torch.stack(rows, dim=1).view(-1, 2, 3)


def _move(x: Tensor, theta: Tensor, modality: Modality) -> Tensor:
    grid = affine_grid(theta.to(x), list(x.shape), align_corners=False)
    # Across an edge the mean of two depths is a distance that nothing has; outside nothing was measured.
    mode, outside = ("nearest", "zeros") if modality is Modality.DEPTH else ("bilinear", "border")
    return grid_sample(x, grid, mode=mode, padding_mode=outside, align_corners=False)


def _rgb(x: Tensor, spec: Preprocess, draw: Tensor, generator: torch.Generator) -> Tensor:
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (spec.rgb_mean, spec.rgb_std))
    pixels = (x * std + mean).clamp(0.0, 1.0)
    signed = 2 * draw - 1
    matrix = _chroma(1 + _SATURATION * signed[3], _HUE * signed[4])
    pixels = torch.einsum("bij,bjyx->biyx", matrix, pixels).clamp(0.0, 1.0)
    return (_light(pixels, draw, generator) - mean) / std


def _ir(x: Tensor, spec: Preprocess, draw: Tensor, generator: torch.Generator) -> Tensor:
    pixels = ((x * spec.ir_std + spec.ir_mean) / spec.ir_clip).clamp(0.0, 1.0)
    return (_light(pixels, draw, generator) * spec.ir_clip - spec.ir_mean) / spec.ir_std


def _light(pixels: Tensor, draw: Tensor, generator: torch.Generator) -> Tensor:
    """Brightness, contrast, tone, blur and noise of pixels in [0, 1]; what comes out lies there too."""
    bright, contrast, gamma = (2 * draw[:3] - 1).view(3, -1, 1, 1, 1)
    x = pixels * (1 + _BRIGHTNESS * bright)
    level = x.mean(dim=(1, 2, 3), keepdim=True)
    x = ((x - level) * (1 + _CONTRAST * contrast) + level).clamp(1e-6, 1.0)
    x = _blur(x.pow(1 + _GAMMA * gamma), 1e-3 + _BLUR_PX * draw[5])
    return (x + _NOISE * torch.randn(x.shape, generator=generator)).clamp(0.0, 1.0)


def _blur(x: Tensor, sigma: Tensor) -> Tensor:
    """A 5 x 5 Gaussian of ``sigma`` pixels ``[B]`` for each capture its own."""
    count, channels, height, width = x.shape
    offset = torch.arange(-2, 3, dtype=x.dtype)
    kernel = torch.softmax(-0.5 * (offset / sigma.view(-1, 1)).square(), dim=1).repeat_interleave(channels, dim=0)
    flat = pad(x.reshape(1, -1, height, width), (2, 2, 2, 2), mode="replicate")
    flat = conv2d(flat, kernel[:, None, None, :], groups=count * channels)
    return conv2d(flat, kernel[:, None, :, None], groups=count * channels).view_as(x)


def _chroma(saturation: Tensor, hue: Tensor) -> Tensor:
    """``[B, 3, 3]`` on RGB: distance from grey times ``saturation``, turned by ``hue`` radians about grey."""
    axis = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / 3**0.5
    grey = torch.full((3, 3), 1 / 3)
    angle = hue.view(-1, 1, 1)
    turned = torch.cos(angle) * (torch.eye(3) - grey) + torch.sin(angle) * axis
    return grey + saturation.view(-1, 1, 1) * turned
