"""What every model is: two parts, one output record, and one way to predict.

A model maps the images of any non-empty subset of modalities, mixed freely inside a batch, to one logit per capture
(higher = bona fide). It is cut in two: `FasModel.lower` runs once without gradient during adaptation, `FasModel.upper`
holds everything an adaptation method may touch.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from mfas.card import Preprocess
from mfas.config import Config
from mfas.core import MODALITIES, Batch, Modality, Prediction
from mfas.errors import InputError
from mfas.models.backbones.contract import Backbone
from mfas.models.smoothing import Smoothing, smooth, smooth_adversarially
from mfas.models.uncertainty import assess, complement_residuals

Maps = Mapping[Modality, Tensor]
"""Intermediate maps per modality, ``[B, C, h, w]``; rows of absent captures are zero."""


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """What the upper part computes, with gradient.

    - ``logit`` ``[B]``: fused, of everything there is, complements included. For scoring.
    - ``modality_logits`` ``[B, 3]``: each head on its *observed, unenhanced* feature; 0 where not observed. For gates.
    - ``features`` per modality ``[B, D]``, observed only. ``complements`` per modality ``[B, D]``, from the others.
    - ``present``, ``substituted`` bool ``[B, 3]``; ``enhanced`` ``[B, 3]`` in [0, 1].
    """

    logit: Tensor
    modality_logits: Tensor
    features: Mapping[Modality, Tensor]
    complements: Mapping[Modality, Tensor]
    present: Tensor
    substituted: Tensor
    enhanced: Tensor


class FasModel(nn.Module):
    """Base of every registered model.

    ``batch_pairs``: the training loss relates captures of a batch to each other, so that it changes when a batch is
    split over processes. ``onnx_reason``: why the model has no ONNX graph; empty where it has one.
    """

    name: ClassVar[str] = ""
    Architecture: ClassVar[type[Config]] = Config
    batch_pairs: ClassVar[bool] = False
    onnx_reason: ClassVar[str] = ""

    def __init__(self, spec: Preprocess, architecture: Config) -> None:
        super().__init__()
        self.spec = spec
        self.architecture = architecture

    @abstractmethod
    def lower(self, batch: Batch) -> Maps:
        """Images to intermediate maps. Absent rows come out zero."""

    @abstractmethod
    def upper(self, maps: Maps, present: Tensor) -> ModelOutput:
        """Intermediate maps to logits. ``present`` is bool ``[B, 3]``."""

    @abstractmethod
    def heads(self, features: Mapping[Modality, Tensor], present: Tensor) -> Tensor:
        """Logits ``[B, 3]`` of each modality's own head on its feature ``[B, D]``; zero where not observed."""

    @abstractmethod
    def upper_modules(self, modality: Modality) -> list[nn.Module]:
        """The modules of ``modality`` alone that `upper` runs: where adaptation looks for its surface."""

    def score_bias(self) -> str | None:
        """Name of the parameter, one value, that is added to every fused logit; None if there is no such thing."""
        return None

    def fusion_names(self) -> tuple[str, ...]:
        """Names of the parameters that weigh modalities against each other where they meet.

        A model with attention names its projections to queries, keys and values; one without names its gates and the
        first layer that sees all modalities. Empty = the model does not say; methods that adapt fusion refuse it.
        """
        return ()

    @abstractmethod
    def training_loss(self, batch: Batch, target: Tensor, step: LossStep) -> Tensor:
        """Source-training loss of one batch; ``target`` float ``[B]``, 1 = bona fide."""

    def training_step(self, batch: Batch, target: Tensor, step: LossStep, backward: Callable[[Tensor], None]) -> Tensor:
        """Leave the gradients of one batch in ``.grad`` and return the loss, detached.

        ``.grad`` is clear before. A method that changes gradients, or takes several backward passes, overrides this;
        it must call ``backward`` (which knows device and precision) in place of ``Tensor.backward``.
        """
        loss = self.training_loss(batch, target, step)
        backward(loss)
        return loss.detach()

    def frozen_modules(self) -> list[nn.Module]:
        """What never learns, in training or in adaptation: kept in eval mode and without gradient by `train`.

        By default what the backbones say of themselves.
        """
        return [part for module in self.modules() if isinstance(module, Backbone) for part in module.frozen_modules()]

    def train(self, mode: bool = True) -> Self:
        """As for any module, but `frozen_modules` stay frozen."""
        super().train(mode)
        for module in self.frozen_modules():
            module.eval().requires_grad_(False)
        return self

    def stored_architecture(self) -> dict[str, Any]:
        """The architecture as a card keeps it: enough to build the model where no file and no hub is at hand."""
        kept = _without_files(self.architecture).model_dump(mode="json")
        backbone = next((m for m in self.modules() if isinstance(m, Backbone)), None)
        if backbone is not None and "backbone_options" in kept:
            kept["backbone_options"] = backbone.stored_options(kept["backbone_options"])
        return kept

    def forward(self, batch: Batch) -> ModelOutput:
        """Both parts in turn."""
        check_batch(batch)
        return self.upper(self.lower(batch), batch.present)

    @torch.no_grad()
    def predict(self, batch: Batch) -> Prediction:
        """Scores of a batch; the model must be in eval mode and is not changed."""
        return to_prediction(self(batch))


@dataclass(frozen=True, slots=True)
class Shard:
    """Which part of the batch of all processes this one holds: rows ``rank * B`` to ``(rank + 1) * B``.

    ``mean`` averages a tensor over the processes; every process must call it equally often.
    """

    rank: int = 0
    world: int = 1
    mean: Callable[[Tensor], Tensor] = torch.clone

    def draw(self, count: int, sample: Callable[[int], Tensor]) -> Tensor:
        """Own rows of a random draw for the whole batch: ``sample(n)`` gives ``[n, ...]``, ``count`` rows are kept.

        So a capture meets the same chance whichever process holds it.
        """
        drawn = sample(count * self.world)
        return drawn if self.world == 1 else drawn[self.rank * count : (self.rank + 1) * count]


@dataclass(frozen=True, slots=True)
class LossStep:
    """What a training loss may need to know.

    A ``generator`` for missing patterns (same state in every process: draw by ``shard.draw``), label smoothing in
    [0, 0.5), the site of each capture as an integer ``[B]`` (None where unknown), the epoch counted from 0 out of
    ``epochs``, the ``shard``, the kind of label smoothing, and what attack-family heads learn ``[B, K]``
    (`mfas.data.species.family_targets`).
    """

    generator: torch.Generator
    label_smoothing: float = 0.0
    sites: Tensor | None = None
    epoch: int = 0
    epochs: int = 1
    shard: Shard = Shard()
    smoothing: Smoothing = "standard"
    families: Tensor | None = None

    def goal(self, target: Tensor, logit: Tensor) -> Tensor:
        """What ``logit`` aims at: ``target`` (the same shape, 1 = bona fide), smoothed."""
        if self.smoothing == "adversarial":
            return smooth_adversarially(target, self.label_smoothing, logit)
        return smooth(target, self.label_smoothing)

    def drop(self, present: Tensor, keep_all: float = 0.3) -> Tensor:
        """`random_present` with this step's generator and shard."""
        return random_present(present, self.generator, keep_all, self.shard)

    def share(self, count: Tensor | int) -> Tensor | float:
        """What a mean over ``count`` rows here weighs, so that the mean over processes is the mean over all rows.

        1 in a single process; 0 where there are no rows here. Call it in every process, rows or no rows.
        """
        if self.shard.world == 1:
            return 1.0
        own = torch.as_tensor(count, dtype=torch.float32)
        return own / self.shard.mean(own).clamp_min(1 / self.shard.world)


def without_complements(
    logit: Tensor, modality_logits: Tensor, features: Mapping[Modality, Tensor], present: Tensor
) -> ModelOutput:
    """The output of a model that neither substitutes nor enhances; arguments as in `ModelOutput`."""
    none = torch.zeros_like(present)
    return ModelOutput(logit, modality_logits, features, {}, present, none, none.to(logit))


def to_prediction(output: ModelOutput) -> Prediction:
    """Read an output as a detached `Prediction`."""
    present = output.present
    scores = torch.sigmoid(output.modality_logits.detach())
    assessment = assess(scores, present)
    residuals = complement_residuals(output.features, output.complements, present)
    return Prediction(
        score=torch.sigmoid(output.logit.detach()),
        modality_scores=scores.masked_fill(~present, float("nan")),
        uncertainty=assessment.uncertainty,
        reliability=assessment.reliability,
        present=present,
        substituted=output.substituted,
        enhanced=output.enhanced.detach(),
        extras={"disagreement": assessment.disagreement, "residuals": residuals},
    )


def check_batch(batch: Batch) -> None:
    """Refuse a batch a network cannot answer for: empty rows, non-finite pixels."""
    if batch.present.shape != (len(batch), len(MODALITIES)):
        raise InputError(f"expected present as bool [B, 3], got {tuple(batch.present.shape)}")
    if not bool(batch.present.any(dim=1).all()):
        raise InputError("expected at least one modality per capture, got a capture with none")
    for column, modality in enumerate(MODALITIES):
        rows = batch.present[:, column]
        if not bool(rows.any()):
            continue
        if modality not in batch.images:
            raise InputError(f"expected {modality} images, got none though present marks some")
        images = batch.images[modality]
        total = images[rows].sum()
        if not bool(torch.isfinite(total)):
            raise InputError(f"expected finite {modality} images, got NaN or Inf")


def run_on_rows(net: nn.Module, x: Tensor, rows: Tensor, method: str) -> Tensor:
    """Apply ``net.method`` to the rows where ``rows`` is true; the other rows of the result are zero."""
    call = getattr(net, method)
    if bool(rows.all()):
        out: Tensor = call(x)
        return out
    index = rows.nonzero().squeeze(1)
    some: Tensor = call(x.index_select(0, index))
    return some.new_zeros((x.shape[0], *some.shape[1:])).index_copy(0, index, some)


def random_present(
    present: Tensor, generator: torch.Generator, keep_all: float = 0.3, shard: Shard = Shard()
) -> Tensor:
    """Drop modalities at random, never all: the missing-pattern schedule of source training.

    With chance ``keep_all`` a row stays as it is; otherwise one of the six proper patterns is drawn uniformly and
    AND-ed with what is there, unless that would leave nothing.
    """
    patterns = torch.tensor([[p >> k & 1 for k in range(3)] for p in range(1, 7)], dtype=torch.bool)
    count = present.shape[0]
    draw = shard.draw(count, lambda n: torch.randint(len(patterns), (n,), generator=generator))
    keep = shard.draw(count, lambda n: torch.rand(n, generator=generator)) < keep_all
    dropped = present & patterns[draw].to(present.device)
    usable = dropped.any(dim=1) & ~keep.to(present.device)
    return torch.where(usable[:, None], dropped, present)


def _without_files(config: Config) -> Config:
    """The configuration without the files that initial weights came from, nested options included."""
    changes: dict[str, Any] = {}
    for key in type(config).model_fields:
        value = getattr(config, key)
        if isinstance(value, Config):
            changes[key] = _without_files(value)
        elif key in ("weights", "sha256"):
            changes[key] = None
    return config.model_copy(update=changes)
