"""Models whose every answer is known by hand, and captures whose class stands in one corner of the infrared."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mfas.config import Config
from mfas.core import MODALITIES, Batch, Modality
from mfas.explain.record import EmptyValue
from mfas.models.contract import FasModel, LossStep, Maps, ModelOutput, without_complements
from toys import SPEC, batch, target_of, tiny_model

RGB, DEPTH, IR = MODALITIES
CORNER = 12
"""Pixels of the corner that is looked at: cells 0 to 3 of eleven, three pixels a side."""
NOTHING = EmptyValue(0.25, "source_mean", 10, ("somewhere",))


class Planted(FasModel):
    """0.25, plus each ``weights[m]`` times the mean of m's corner, plus ``joint`` times RGB's mean times infrared's."""

    name = "planted"

    def __init__(self, weights: Mapping[Modality, float], joint: float = 0.0) -> None:
        super().__init__(SPEC, Config())
        self.weights = nn.Parameter(torch.tensor([weights.get(m, 0.0) for m in MODALITIES]))
        self.joint = joint

    def lower(self, batch: Batch) -> Maps:
        """First channels, ``[B, 1, S, S]``."""
        return {m: x[:, :1] for m, x in batch.images.items()}

    def upper(self, maps: Maps, present: Tensor) -> ModelOutput:
        """See the class."""
        zero = torch.zeros(len(present))
        corners = [maps[m][:, 0, :CORNER, :CORNER].mean(dim=(1, 2)) if m in maps else zero for m in MODALITIES]
        levels = torch.stack(corners, dim=1) * present
        logit = 0.25 + levels @ self.weights + self.joint * levels[:, 0] * levels[:, 2]
        return without_complements(
            logit, levels * self.weights, dict(zip(MODALITIES, levels.T[..., None], strict=True)), present
        )

    def heads(self, features: Mapping[Modality, Tensor], present: Tensor) -> Tensor:
        """Not asked for."""
        del features, present
        raise AssertionError

    def upper_modules(self, modality: Modality) -> list[nn.Module]:
        """Nothing adapts."""
        del modality
        return []

    def training_loss(self, batch: Batch, target: Tensor, step: LossStep) -> Tensor:
        """It is never trained."""
        del batch, target, step
        raise AssertionError


def levels(*values: float) -> Batch:
    """One capture whose RGB, depth and infrared corners are flat, of these levels, and darker around."""
    images = {}
    for m, value in zip(MODALITIES, values, strict=True):
        images[m] = torch.zeros(1, SPEC.channels(m), SPEC.size, SPEC.size)
        images[m][:, :, :CORNER, :CORNER] = value
    return Batch(images, torch.ones(1, 3, dtype=torch.bool), batch(1).ids)


def cornered(count: int, seed: int) -> Batch:
    """Noise; the corner of the infrared alone is brighter by two for bona fide captures (`toys.target_of`)."""
    some = batch(count, seed, target=torch.full((count,), 0.5))
    images = dict(some.images)
    images[IR] = images[IR].clone()
    images[IR][:, :, :CORNER, :CORNER] += 2 * target_of(count).view(-1, 1, 1, 1) - 1
    return Batch(images, some.present, some.ids)


def taught(name: str = "mfas_danet", steps: int = 60) -> FasModel:
    """A tiny model that has learnt to look at the corner of the infrared."""
    model = tiny_model(name).train()
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        loss = model.training_loss(cornered(16, seed=1000 + step), target_of(16), LossStep(generator))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()
