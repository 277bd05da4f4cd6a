"""The source-training loop: any registered model, any stream of batches; Lightning Fabric for device and precision."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor

from mfas.config import Config
from mfas.core import Batch
from mfas.errors import InputError
from mfas.models.contract import FasModel, LossStep

Epoch = Callable[[int], Iterable[tuple[Batch, Tensor]]]
"""Given the epoch's number, yields batches with targets float ``[B]`` (1 = bona fide)."""


class LoopConfig(Config):
    """How long and how fast: AdamW with warm-up and cosine decay, an exponential moving average of the weights."""

    epochs: int = Field(24, ge=1)
    learning_rate: float = Field(3e-3, gt=0)
    weight_decay: float = Field(0.02, ge=0)
    warmup_share: float = Field(0.1, ge=0, lt=1)
    ema_decay: float = Field(0.98, ge=0, lt=1)
    clip_norm: float = Field(2.0, gt=0)
    label_smoothing: float = Field(0.05, ge=0, lt=0.5)
    patience: int = Field(100, ge=1)
    accelerator: str = "cpu"
    precision: Literal["32-true", "16-mixed", "bf16-mixed", "bf16-true"] = "32-true"


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One line of the training history; ``validation`` lower is better, None where there is no validation set."""

    epoch: int
    loss: float
    validation: float | None
    captures: int


def fit(
    model: FasModel,
    epochs: Epoch,
    steps_per_epoch: int,
    config: LoopConfig,
    seed: int,
    validate: Callable[[FasModel], float] | None = None,
    progress: Callable[[EpochRecord], None] | None = None,
) -> tuple[FasModel, list[EpochRecord]]:
    """Train ``model`` and return its averaged weights at the epoch with the lowest validation value.

    ``validate`` gets the averaged model in eval mode after each epoch. The returned model is in eval mode on the CPU.
    """
    fabric: Any = Fabric(accelerator=config.accelerator, devices=1, precision=config.precision)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    total = max(1, config.epochs * steps_per_epoch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, total, config.warmup_share))
    average = deepcopy(model).eval()
    trainer, optimiser = fabric.setup(model, optimiser)
    trainer.mark_forward_method("training_loss")
    best, best_value, best_epoch, history = None, math.inf, 0, list[EpochRecord]()
    for epoch in range(config.epochs):
        model.train()
        losses, seen = 0.0, 0
        for step, (batch, target) in enumerate(epochs(epoch)):
            batch, target = batch_tensors(batch, fabric), fabric.to_device(target)
            loss = trainer.training_loss(batch, target, LossStep(generator, config.label_smoothing))
            if not bool(torch.isfinite(loss)):
                raise InputError(f"training diverged in epoch {epoch}: expected a finite loss, got {float(loss)}")
            optimiser.zero_grad()
            fabric.backward(loss)
            fabric.clip_gradients(trainer, optimiser, max_norm=config.clip_norm)
            optimiser.step()
            schedule.step()
            count = 1 + epoch * steps_per_epoch + step
            _average(average, model, min(config.ema_decay, count / (10 + count)))
            losses, seen = losses + float(loss.detach()) * len(batch), seen + len(batch)
        value = validate(average) if validate is not None else None
        history.append(EpochRecord(epoch, losses / max(1, seen), value, seen))
        if progress is not None:
            progress(history[-1])
        if value is None or value <= best_value:
            best, best_value, best_epoch = deepcopy(average), value if value is not None else math.inf, epoch
        elif epoch - best_epoch >= config.patience:
            break
    assert best is not None
    return best.cpu().eval(), history


def batch_tensors(batch: Batch, fabric: Any) -> Batch:
    """The batch on the device that Fabric chose."""
    images = {m: fabric.to_device(x) for m, x in batch.images.items()}
    return Batch(images=images, present=fabric.to_device(batch.present), ids=batch.ids)


def _rate(step: int, total: int, warmup: float) -> float:
    start = max(1, int(total * warmup))
    if step < start:
        return (step + 1) / start
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - start) / max(1, total - start))))


@torch.no_grad()
def _average(average: FasModel, model: FasModel, decay: float) -> None:
    for mean, value in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if mean.dtype.is_floating_point:
            mean.lerp_(value.to(mean.device), 1 - decay)
        else:
            mean.copy_(value)
