"""Perturbation budgets: steps of an eight-bit image in, network input out, through the card's preprocessing.

Full scale is 255 steps: of RGB from black to white; of depth from `depth_clip_m` before the face to as much behind it;
of infrared from 0 to `ir_clip` times the face's own bright level, which is what a network sees of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor

from mfas.card import Preprocess
from mfas.config import Config
from mfas.core import MODALITIES, Batch, Modality

STEPS = 255.0
Images = dict[Modality, Tensor]


class Budgets(Config):
    """Largest change of any pixel, in steps of an eight-bit image (1/255 of full scale)."""

    rgb: float = Field(8.0, gt=0, le=STEPS)
    depth: float = Field(4.0, gt=0, le=STEPS)
    ir: float = Field(8.0, gt=0, le=STEPS)

    def of(self, modality: Modality) -> float:
        """As a fraction of full scale, in (0, 1]."""
        return float(getattr(self, modality.value)) / STEPS


@dataclass(frozen=True, slots=True)
class Scale:
    """Network input of one sensor, tensors ``[1, C, 1, 1]``.

    ``full`` is what full scale amounts to, 0 where a channel may not move; ``low`` and ``high`` bound valid values.
    """

    full: Tensor
    low: Tensor
    high: Tensor


def scale_of(modality: Modality, spec: Preprocess, device: torch.device | None = None) -> Scale:
    """The scale that `mfas.card.Preprocess` gives a sensor. The validity channel of depth may not move."""
    if modality is Modality.RGB:
        mean, std = torch.tensor(spec.rgb_mean), torch.tensor(spec.rgb_std)
        parts = (1 / std, -mean / std, (1 - mean) / std)
    elif modality is Modality.DEPTH:
        parts = (torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 1.0]))
    else:
        low, high = -spec.ir_mean / spec.ir_std, (spec.ir_clip - spec.ir_mean) / spec.ir_std
        parts = (torch.tensor([high - low]), torch.tensor([low]), torch.tensor([high]))
    full, low_, high_ = (part.view(1, -1, 1, 1).to(device) for part in parts)
    return Scale(full, low_, high_)


def movable(batch: Batch, modality: Modality) -> Tensor:
    """Bool ``[B, C, H, W]``: pixels an attacker can change. Absent captures and depth holes have none."""
    images = batch.images[modality]
    rows = batch.present[:, MODALITIES.index(modality)].view(-1, 1, 1, 1).expand_as(images)
    if modality is not Modality.DEPTH:
        return rows
    measured = images[:, 1:2] > 0.5
    return rows & torch.cat([measured, torch.zeros_like(measured)], dim=1)


class Ball:
    """What an attacker may show in place of ``batch``: near it, and values that the sensors can have.

    ``shares`` names the modalities that may change, each with the fraction of its budget it may use. Where a clean
    value lies outside the valid range it may stay.
    """

    def __init__(self, batch: Batch, spec: Preprocess, budgets: Budgets, shares: Mapping[Modality, float]) -> None:
        self.clean: Images = {m: batch.images[m] for m in shares if m in batch.images}
        self.width: Images = {}
        self._low: Images = {}
        self._high: Images = {}
        for modality, clean in self.clean.items():
            scale = scale_of(modality, spec, clean.device)
            self.width[modality] = scale.full * (budgets.of(modality) * shares[modality])
            room = self.width[modality] * movable(batch, modality)
            self._low[modality] = torch.minimum(clean, (clean - room).maximum(scale.low))
            self._high[modality] = torch.maximum(clean, (clean + room).minimum(scale.high))

    def project(self, modality: Modality, images: Tensor) -> Tensor:
        """The nearest allowed images."""
        return images.maximum(self._low[modality]).minimum(self._high[modality])

    def random(self, generator: torch.Generator) -> Images:
        """Images drawn uniformly from what is allowed."""
        out = {}
        for modality, low in self._low.items():
            drawn = torch.rand(low.shape, generator=generator).to(low)
            out[modality] = low + drawn * (self._high[modality] - low)
        return out
