"""The source-training loop: any registered model, any stream of batches, one process or several.

Device and precision are Lightning Fabric's (`mfas.training.ranks`). A training that was stopped goes on from its last
whole epoch and ends in the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor

from mfas.config import Config
from mfas.core import Batch
from mfas.errors import InputError
from mfas.models.contract import FasModel, LossStep, Shard
from mfas.models.smoothing import Smoothing
from mfas.training.checkpoint import Checkpoints
from mfas.training.ranks import Ranks


@dataclass(frozen=True, slots=True)
class Labelled:
    """A batch with its truth: ``target`` float ``[B]`` (1 = bona fide), ``sites`` integer ``[B]`` or None.

    ``families`` float ``[B, K]``: what attack-family heads learn; None where there are none.
    """

    batch: Batch
    target: Tensor
    sites: Tensor | None = None
    families: Tensor | None = None


class Epochs(Protocol):
    """Where batches come from: ``steps`` per epoch, this process's rows of each, and the state of its chance."""

    steps: int

    def __call__(self, epoch: int) -> Iterable[Labelled]:
        """The batches of one epoch, counted from 0."""

    def random_state(self) -> Tensor:
        """Of whatever it draws from, uint8."""

    def set_random_state(self, state: Tensor) -> None:
        """Continue drawing where ``state`` was taken."""


class Disturb(Protocol):
    """Something done to a batch against the model that is about to learn from it."""

    def __call__(self, model: FasModel, batch: Batch, target: Tensor, shard: Shard, step: int) -> Batch:
        """A batch of the same captures; the model is left as it was. ``step`` counts from the start of training."""


class LoopConfig(Config):
    """How long and how fast: AdamW with warm-up and cosine decay, an exponential moving average of the weights."""

    epochs: int = Field(24, ge=1)
    learning_rate: float = Field(3e-3, gt=0)
    weight_decay: float = Field(0.02, ge=0)
    warmup_share: float = Field(0.1, ge=0, lt=1)
    ema_decay: float = Field(0.98, ge=0, lt=1)
    clip_norm: float = Field(2.0, gt=0)
    label_smoothing: float = Field(0.05, ge=0, lt=0.5)
    smoothing: Smoothing = "standard"
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
    epochs: Epochs,
    config: LoopConfig,
    seed: int,
    validate: Callable[[FasModel], float] | None = None,
    progress: Callable[[EpochRecord], None] | None = None,
    *,
    ranks: Ranks | None = None,
    checkpoints: Checkpoints | None = None,
    disturb: Disturb | None = None,
) -> tuple[FasModel, list[EpochRecord]]:
    """Train ``model`` and return its averaged weights at the epoch with the lowest validation value.

    ``validate`` gets the averaged model in eval mode after each epoch, in the first process only. The returned model is
    in eval mode on the CPU. With ``checkpoints`` every epoch is kept, and a training found there is continued.
    ``disturb`` changes batches before they are learnt from. Raises `InputError` when a loss or gradient is not finite.
    """
    run = _Run(model, epochs, config, seed, ranks or Ranks(config.accelerator, config.precision), checkpoints, disturb)
    while not run.over:
        run.epoch(validate)
        if progress is not None:
            progress(run.history[-1])
    return run.best.cpu().eval(), run.history


class _Run:
    """Everything that moves while training: weights, their average and the best of it, moments, chance, history."""

    def __init__(
        self,
        model: FasModel,
        epochs: Epochs,
        config: LoopConfig,
        seed: int,
        ranks: Ranks,
        checkpoints: Checkpoints | None,
        disturb: Disturb | None,
    ) -> None:
        self.config, self.ranks, self.checkpoints = config, ranks, checkpoints
        self._disturb = disturb
        self._epochs = epochs
        # the first process draws as one alone does; dropout of the others must not repeat its masks
        torch.manual_seed(seed + 1_000_003 * ranks.rank)
        self._generator = torch.Generator().manual_seed(seed)
        self.model = model.train()
        self.average = deepcopy(model).float().eval()
        self.best, self.best_value, self.best_epoch = self.average, math.inf, 0
        self.history = list[EpochRecord]()
        ranks.place(model)
        learning = [p for p in model.parameters() if p.requires_grad]
        self._dtype = learning[0].dtype
        self._adamw = torch.optim.AdamW(learning, config.learning_rate, weight_decay=config.weight_decay)
        self._optimiser = ranks.fabric.setup_optimizers(self._adamw)
        kept = checkpoints.load() if checkpoints is not None else None
        if kept is not None:
            self._restore(*kept)

    @property
    def over(self) -> bool:
        """Whether all epochs are done, or too many have passed since the best one."""
        done = len(self.history)
        waited = done > 0 and done - 1 - self.best_epoch >= self.config.patience
        return done >= self.config.epochs or waited

    def epoch(self, validate: Callable[[FasModel], float] | None) -> None:
        """One pass over the data, its validation, and its checkpoint."""
        epoch = len(self.history)
        self.model.train()
        losses, seen = 0.0, 0
        for step, labelled in enumerate(self._epochs(epoch)):
            count = len(labelled.batch) * self.ranks.world
            losses, seen = losses + self._step(labelled, epoch, step) * count, seen + count
        value = None
        if validate is not None:
            value = self.ranks.from_first(validate(self.average) if self.ranks.rank == 0 else None)
        if value is not None and not math.isfinite(value):
            kept = f"; {self.checkpoints.kept()}" if self.checkpoints is not None else ""
            raise InputError(
                f"training diverged in epoch {epoch}: expected a finite validation loss, got {value}{kept}"
            )
        self.history.append(EpochRecord(epoch, losses / max(1, seen), value, seen))
        if value is None or value <= self.best_value:
            self.best, self.best_epoch = deepcopy(self.average), epoch
            self.best_value = value if value is not None else math.inf
        if self.checkpoints is not None:
            self._keep(self.checkpoints)

    def _step(self, labelled: Labelled, epoch: int, step: int) -> float:
        """One update; returns the loss as the mean over processes."""
        config, ranks, fabric = self.config, self.ranks, self.ranks.fabric
        done = epoch * self._epochs.steps + step
        total = max(1, config.epochs * self._epochs.steps)
        for group in self._adamw.param_groups:
            group["lr"] = config.learning_rate * _rate(done, total, config.warmup_share)
        self._optimiser.zero_grad()
        sites = None if labelled.sites is None else fabric.to_device(labelled.sites)
        families = None if labelled.families is None else fabric.to_device(labelled.families)
        amount, kind = config.label_smoothing, config.smoothing
        told = LossStep(self._generator, amount, sites, epoch, config.epochs, ranks.shard, kind, families)
        batch, target = ranks.tensors(labelled.batch, self._dtype), fabric.to_device(labelled.target)
        with fabric.autocast():
            if self._disturb is not None:
                batch = self._disturb(self.model, batch, target, ranks.shard, done)
            own = self.model.training_step(batch, target, told, ranks.backward)
        loss = float(ranks.mean(own))
        self._check(loss, float(own), epoch, step, labelled.batch)
        ranks.average_gradients(self.model)
        norm = fabric.clip_gradients(self.model, self._optimiser, max_norm=config.clip_norm, error_if_nonfinite=False)
        if config.precision != "16-mixed":  # there the scaler passes over a step that overflowed
            self._check(float(norm), float(norm), epoch, step, labelled.batch)
        self._optimiser.step()
        _average(self.average, self.model, min(config.ema_decay, (1 + done) / (11 + done)))
        return loss

    def _check(self, value: float, own: float, epoch: int, step: int, batch: Batch) -> None:
        if math.isfinite(value):
            return
        ids = batch.ids.capture_id
        shown = ", ".join(ids[:3]) + (", …" if len(ids) > 3 else "")
        where = f"captures {shown}" if not math.isfinite(own) else "in another process"
        if self.checkpoints is not None and not math.isfinite(own):
            where += f" ({self.checkpoints.diverged(epoch, step, own, ids)})"
        at = f"training diverged at step {step} of epoch {epoch}"
        raise InputError(f"{at}: expected a finite loss and gradient, got {value}, {where}")

    def _keep(self, checkpoints: Checkpoints) -> None:
        """The state after an epoch; the generators of all processes go along."""
        tensors = {"random": self.ranks.gather(torch.get_rng_state())}
        if self.ranks.fabric.device.type == "cuda":
            tensors["random_device"] = self.ranks.gather(torch.cuda.get_rng_state(self.ranks.fabric.device))
        if self.ranks.rank:
            return
        tensors |= {"generator": self._generator.get_state(), "data": self._epochs.random_state()}
        for part, module in (("model", self.model), ("average", self.average), ("best", self.best)):
            tensors |= {f"{part}.{name}": tensor.clone() for name, tensor in module.state_dict().items()}
        for index, state in self._adamw.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": tensor for name, tensor in state.items()}
        facts = {
            "best_value": self.best_value if math.isfinite(self.best_value) else None,
            "best_epoch": self.best_epoch,
            "history": [asdict(record) for record in self.history],
            "precision": self.ranks.fabric.strategy.precision.state_dict(),
        }
        checkpoints.save(len(self.history), tensors, facts)

    def _restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        self.best = deepcopy(self.average)
        for part, module in (("model", self.model), ("average", self.average), ("best", self.best)):
            module.load_state_dict(_below(part, tensors))
        moments = _below("optimiser", tensors)
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in moments.items():
            index, _, key = name.partition(".")
            own = self._adamw.param_groups[0]["params"][int(index)]
            # in the layout that AdamW would have given them: another one rounds differently
            laid = torch.zeros_like(own).copy_(tensor) if tensor.shape == own.shape and key != "step" else tensor
            state.setdefault(int(index), {})[key] = laid
        self._adamw.load_state_dict({"state": state, "param_groups": self._adamw.state_dict()["param_groups"]})
        self._generator.set_state(tensors["generator"])
        self._epochs.set_random_state(tensors["data"])
        torch.set_rng_state(tensors["random"][self.ranks.rank])
        if "random_device" in tensors:
            torch.cuda.set_rng_state(tensors["random_device"][self.ranks.rank], self.ranks.fabric.device)
        self.ranks.fabric.strategy.precision.load_state_dict(facts["precision"])
        self.best_value = math.inf if facts["best_value"] is None else facts["best_value"]
        self.best_epoch = facts["best_epoch"]
        self.history = [EpochRecord(**record) for record in facts["history"]]


def _below(part: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(f"{part}."): x for name, x in tensors.items() if name.startswith(f"{part}.")}


def _rate(step: int, total: int, warmup: float) -> float:
    start = max(1, int(total * warmup))
    if step < start:
        return (step + 1) / start
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - start) / max(1, total - start))))


@torch.no_grad()
def _average(average: FasModel, model: FasModel, decay: float) -> None:
    for mean, value in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if mean.dtype.is_floating_point:
            mean.lerp_(value.to(mean), 1 - decay)
        else:
            mean.copy_(value)
