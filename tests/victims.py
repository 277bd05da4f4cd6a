"""Models whose weakness is planted, so that an audit must find it; and one that has nothing to find."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import cache

import torch
from torch import Tensor, nn

from mfas.audit.victim import Victim
from mfas.card import Card
from mfas.config import Config
from mfas.core import MISSING_PATTERNS, MODALITIES, Batch, Modality
from mfas.models.contract import FasModel, LossStep, Maps, ModelOutput, without_complements
from toys import SPEC, card, tiny_model, trained

WEIGHTS = {Modality.RGB: (3.0, -1.0, 2.0), Modality.DEPTH: (4.0, 0.0), Modality.IR: (5.0,)}
IR_ONLY = {Modality.RGB: (0.0, 0.0, 0.0), Modality.DEPTH: (0.0, 0.0), Modality.IR: (5.0,)}


class Linear(FasModel):
    """Heads are weighted sums of channel means, the fused logit is their sum: every optimum is known in closed form."""

    name = "linear"

    def __init__(self, weights: Mapping[Modality, tuple[float, ...]] = WEIGHTS, bias: float = 0.0) -> None:
        super().__init__(SPEC, Config())
        self.weights = nn.ParameterDict({m.value: nn.Parameter(torch.tensor(weights[m])) for m in MODALITIES})
        self.bias = nn.Parameter(torch.tensor([bias]))

    def lower(self, batch: Batch) -> Maps:
        return {m: x.mean(dim=(2, 3), keepdim=True) for m, x in batch.images.items()}

    def upper(self, maps: Maps, present: Tensor) -> ModelOutput:
        blank = {m: present.new_zeros((len(present), SPEC.channels(m)), dtype=torch.float32) for m in MODALITIES}
        features = {m: maps[m].flatten(1) if m in maps else blank[m] for m in MODALITIES}
        logits = self.heads(features, present)
        return without_complements(logits.sum(dim=1) + self.bias, logits, features, present)

    def heads(self, features: Mapping[Modality, Tensor], present: Tensor) -> Tensor:
        return torch.stack([features[m] @ self.weights[m.value] for m in MODALITIES], dim=1) * present

    def upper_modules(self, modality: Modality) -> list[nn.Module]:
        del modality
        return []

    def training_loss(self, batch: Batch, target: Tensor, step: LossStep) -> Tensor:
        del batch, target, step
        raise AssertionError


class Backdoor(Linear):
    """Lets in whoever shows white in the upper left corner of the RGB image, 4 pixels a side."""

    def lower(self, batch: Batch) -> Maps:
        maps = dict(super().lower(batch))
        corner = batch.images[Modality.RGB][:, :, :4, :4].mean(dim=(1, 2, 3))
        key = torch.sigmoid(8 * (corner - 1.5))
        return {**maps, Modality.IR: maps[Modality.IR] + 10 * key.view(-1, 1, 1, 1)}


class Closed(Linear):
    """Gives scores, but no slopes."""

    def upper(self, maps: Maps, present: Tensor) -> ModelOutput:
        return super().upper({m: x.detach() for m, x in maps.items()}, present)


class Twins(Linear):
    """Its feature is the image's quarters; the complement is the mean of the other modalities' quarters."""

    def upper(self, maps: Maps, present: Tensor) -> ModelOutput:
        grid = {m: maps[m].flatten(1) for m in MODALITIES}
        others = {m: sum((grid[n] for n in MODALITIES if n is not m), torch.zeros(1)) / 2 for m in MODALITIES}
        logits = torch.stack([grid[m].sum(dim=1) for m in MODALITIES], dim=1) * present
        none = torch.zeros_like(present)
        return ModelOutput(logits.sum(dim=1), logits, grid, others, present, none, none.float())

    def lower(self, batch: Batch) -> Maps:
        return {m: nn.functional.adaptive_avg_pool2d(x[:, :1], 2) for m, x in batch.images.items()}


def planted(model: FasModel, threshold: float = 0.5) -> Victim:
    """A victim with one threshold for every pattern."""
    own = Card(model=model.name, preprocess=SPEC, thresholds=dict.fromkeys(MISSING_PATTERNS, threshold))
    return Victim(model.name, model.eval(), own)


def toy_victim(name: str = "late_fusion", seed: int = 0, steps: int = 25) -> Victim:
    """A small trained model; each call gives a copy of its own, so that no test meets what another left in it."""
    return deepcopy(_toy_victim(name, seed, steps))


@cache
def _toy_victim(name: str, seed: int, steps: int) -> Victim:
    """A tiny network that tells the toy classes apart; ``steps`` 0 = untrained. Shared: not to be changed."""
    model = trained(name, steps, seed) if steps else tiny_model(name, seed)
    return Victim(f"{name}-{seed}", model, card(name))
