"""What every model is: two parts, one output record, and one way to predict.

A model maps the images of any non-empty subset of modalities, mixed freely inside a batch, to one logit per capture
(higher = bona fide). It is cut in two: `FasModel.lower` runs once without gradient during adaptation, `FasModel.upper`
holds everything an adaptation method may touch.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from mfas.card import Preprocess
from mfas.config import Config
from mfas.core import MODALITIES, Batch, Modality, Prediction
from mfas.errors import InputError
from mfas.models.uncertainty import assess

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
    """Base of every registered model."""

    name: ClassVar[str] = ""
    Architecture: ClassVar[type[Config]] = Config

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

    def forward(self, batch: Batch) -> ModelOutput:
        """Both parts in turn."""
        check_batch(batch)
        return self.upper(self.lower(batch), batch.present)

    @torch.no_grad()
    def predict(self, batch: Batch) -> Prediction:
        """Scores of a batch; the model must be in eval mode and is not changed."""
        return to_prediction(self(batch))


@dataclass(frozen=True, slots=True)
class LossStep:
    """What a training loss may need to know: a generator for missing patterns and label smoothing in [0, 0.5)."""

    generator: torch.Generator
    label_smoothing: float = 0.0


def to_prediction(output: ModelOutput) -> Prediction:
    """Read an output as a detached `Prediction`."""
    present = output.present
    scores = torch.sigmoid(output.modality_logits.detach())
    assessment = assess(scores, present)
    return Prediction(
        score=torch.sigmoid(output.logit.detach()),
        modality_scores=scores.masked_fill(~present, float("nan")),
        uncertainty=assessment.uncertainty,
        reliability=assessment.reliability,
        present=present,
        substituted=output.substituted,
        enhanced=output.enhanced.detach(),
        extras={"disagreement": assessment.disagreement},
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


def random_present(present: Tensor, generator: torch.Generator, keep_all: float = 0.3) -> Tensor:
    """Drop modalities at random, never all: the missing-pattern schedule of source training.

    With chance ``keep_all`` a row stays as it is; otherwise one of the six proper patterns is drawn uniformly and
    AND-ed with what is there, unless that would leave nothing.
    """
    patterns = torch.tensor([[p >> k & 1 for k in range(3)] for p in range(1, 7)], dtype=torch.bool)
    draw = torch.randint(len(patterns), (present.shape[0],), generator=generator)
    keep = torch.rand(present.shape[0], generator=generator) < keep_all
    dropped = present & patterns[draw].to(present.device)
    usable = dropped.any(dim=1) & ~keep.to(present.device)
    return torch.where(usable[:, None], dropped, present)
