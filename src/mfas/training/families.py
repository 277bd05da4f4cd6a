"""Training of attack-family heads: after the model, on its frozen features, or with it, in three ways.

UniMod (arXiv 2602.02536) trains several score heads on one trunk and fears that they disturb each other; it gives each
head weights of its own and trains one at a time by chance. The second is `random_head` here; `projection` is PCGrad (Yu
et al., NeurIPS 2020) with the model's own gradient as the one that is never changed. `post_hoc` moves no weight of the
model, so it cannot interfere. See `docs/experiments/family_heads.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from mfas.config import Config
from mfas.core import Batch, Family, Modality
from mfas.models.contract import FasModel, LossStep, Maps, ModelOutput, random_present
from mfas.models.families import FamilyHeads, fused_features, fused_width

Way = Literal["none", "post_hoc", "naive", "random_head", "projection"]


class HeadConfig(Config):
    """What heads are and how they learn on a finished model; ``hidden`` units each.

    ``fewest`` captures make a family worth a head. ``passes``: augmented views of each capture.
    """

    hidden: int = Field(16, ge=1)
    fewest: int = Field(20, ge=1)
    passes: int = Field(2, ge=1)
    epochs: int = Field(20, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(0.02, ge=0)
    batch_size: int = Field(256, ge=2)


class FamilyConfig(HeadConfig):
    """When heads learn: ``way``, and ``weight`` of their loss beside the model's where they learn together with it."""

    way: Way = "none"
    weight: float = Field(0.5, gt=0)


def family_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy ``[K]`` of each head over the captures whose family is known; targets may be NaN.

    >>> family_loss(torch.zeros(2, 1), torch.tensor([[1.0], [float("nan")]])).tolist()
    [0.6931471824645996]
    """
    known = ~torch.isnan(targets)
    losses = bce(logits, torch.where(known, targets, 0.0), reduction="none") * known
    total: Tensor = losses.sum(dim=0) / known.sum(dim=0).clamp_min(1)
    return total


def without_conflict(gradient: Sequence[Tensor], base: Sequence[Tensor]) -> list[Tensor]:
    """``gradient``, less its part against ``base`` where the two conflict; both are one vector over all parameters.

    >>> [x.tolist() for x in without_conflict([torch.tensor([-3.0, 4.0])], [torch.tensor([2.0, 0.0])])]
    [[0.0, 4.0]]
    """
    dot = sum((float((g * b).sum()) for g, b in zip(gradient, base, strict=True)), 0.0)
    if dot >= 0:
        return list(gradient)
    share = dot / max(sum(float(b.square().sum()) for b in base), torch.finfo(torch.float32).tiny)
    return [g - share * b for g, b in zip(gradient, base, strict=True)]


class WithFamilies(FasModel):
    """A model that learns together with its family heads; scores and loss are the model's own.

    What the heads add comes after the model's own step, on a missing pattern drawn from a generator of its own: a model
    whose heads added nothing would learn as it does alone.
    """

    drawn: Tensor

    def __init__(self, base: FasModel, heads: FamilyHeads, config: FamilyConfig) -> None:
        super().__init__(base.spec, base.architecture)
        self.base, self.family_heads = base, heads
        self._config = config
        self.register_buffer("drawn", torch.zeros((), dtype=torch.int64))

    def lower(self, batch: Batch) -> Maps:
        """See `FasModel.lower`."""
        return self.base.lower(batch)

    def upper(self, maps: Maps, present: Tensor) -> ModelOutput:
        """See `FasModel.upper`."""
        return self.base.upper(maps, present)

    def heads(self, features: Mapping[Modality, Tensor], present: Tensor) -> Tensor:
        """See `FasModel.heads`."""
        return self.base.heads(features, present)

    def upper_modules(self, modality: Modality) -> list[nn.Module]:
        """See `FasModel.upper_modules`."""
        return self.base.upper_modules(modality)

    def frozen_modules(self) -> list[nn.Module]:
        """See `FasModel.frozen_modules`."""
        return self.base.frozen_modules()

    def training_loss(self, batch: Batch, target: Tensor, step: LossStep) -> Tensor:
        """See `FasModel.training_loss`; the heads' loss is none of it."""
        return self.base.training_loss(batch, target, step)

    def training_step(self, batch: Batch, target: Tensor, step: LossStep, backward: Callable[[Tensor], None]) -> Tensor:
        """The model's own step, then what the heads add to its gradients and to theirs."""
        loss = self.base.training_step(batch, target, step, backward)
        if step.families is None:
            return loss
        shared = [p for p in self.base.parameters() if p.grad is not None]
        own = [p.grad.clone() for p in shared if p.grad is not None]
        for parameter in shared:
            parameter.grad = None
        backward(self._config.weight * self._added(batch, step.families))
        added = [torch.zeros_like(p) if p.grad is None else p.grad for p in shared]
        if self._config.way == "projection":
            added = without_conflict(added, own)
        for parameter, one, two in zip(shared, own, added, strict=True):
            parameter.grad = one + two
        return loss

    def _added(self, batch: Batch, targets: Tensor) -> Tensor:
        chance = torch.Generator().manual_seed(int(self.drawn))
        self.drawn += 1
        present = random_present(batch.present, chance)
        logits = self.family_heads(fused_features(self.base.upper(self.base.lower(batch), present)))
        losses = family_loss(logits, targets)
        if self._config.way == "random_head":
            return losses[int(torch.randint(len(losses), (), generator=chance))]
        return losses.mean()


@torch.no_grad()
def collect_features(model: FasModel, batches: Iterable[tuple[Batch, Tensor]], seed: int) -> tuple[Tensor, Tensor]:
    """`fused_features` ``[N, F]`` of every capture with all it has and under one further pattern, and their targets.

    ``batches`` yield captures and what heads learn of them ``[B, K]``; the model must be in eval mode. Patterns are
    drawn as in source training.
    """
    generator = torch.Generator().manual_seed(seed)
    features, targets = [], []
    for batch, wanted in batches:
        maps = model.lower(batch)
        for present in (batch.present, random_present(batch.present, generator, keep_all=0.0)):
            features.append(fused_features(model.upper(maps, present)))
            targets.append(wanted)
    return torch.cat(features), torch.cat(targets)


def fit_heads(
    model: FasModel, names: Sequence[Family], features: Tensor, targets: Tensor, config: HeadConfig, seed: int
) -> FamilyHeads:
    """Heads for ``model`` out of what `collect_features` gave; no weight of the model is touched. In eval mode.

    AdamW with a cosine decay over ``epochs``; the same seed gives the same heads.
    """
    torch.manual_seed(seed)
    heads = FamilyHeads(fused_width(model), names, config.hidden)
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(heads.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    steps = config.epochs * -(-len(features) // config.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(config.epochs):
        order = torch.randperm(len(features), generator=generator)
        for start in range(0, len(order), config.batch_size):
            chosen = order[start : start + config.batch_size]
            loss = family_loss(heads(features[chosen]), targets[chosen]).mean()
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
    return heads.eval().requires_grad_(False)
