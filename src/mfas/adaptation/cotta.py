"""CoTTA (Wang et al., CVPR 2022): a student learns from a slow teacher, and its weights fall back to the source.

What differs with one logit, GroupNorm and missing modalities: `docs/methods/cotta.md`.
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mfas.adaptation.live import NOT_FINITE, finite
from mfas.adaptation.online import Learnt
from mfas.adaptation.registry import register
from mfas.adaptation.strong_views import strong_view
from mfas.adaptation.surface import contiguous_norms
from mfas.adaptation.teacher import MeanTeacher, soft_cross_entropy
from mfas.card import Card
from mfas.config import Config
from mfas.core import MODALITIES, Batch
from mfas.models.contract import FasModel
from mfas.models.uncertainty import assess

_ROWS_AT_ONCE = 64
"""Captures in one pass over views: bounds the memory that averaging needs."""
_UNKNOWN_SOURCE = 0.4


class CottaSettings(Config):
    """As published for CIFAR-10-C; nothing is tuned here.

    The teacher is asked about ``views`` augmented views where the source model's heads are unsure: where their entropy,
    in fractions of ln 2, is above ``max_entropy_fraction`` in the mean of the batch. None takes what a share
    ``quantile`` of captures decided rightly in source validation stays under, or 0.4 (a probability of 0.92) from a
    card that does not tell.
    """

    learning_rate: float = Field(1e-3, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1, description="Adam's beta1")
    teacher_momentum: float = Field(0.999, ge=0, lt=1)
    views: int = Field(32, ge=1, le=256)
    max_entropy_fraction: float | None = Field(None, ge=0, le=1)
    quantile: float = Field(0.95, gt=0, lt=1)
    restore: float = Field(0.01, ge=0, le=1, description="chance of each weight of the student per update")


def unsure_from(settings: CottaSettings, card: Card) -> float:
    """Entropy over ln 2 from which a batch counts as unsure, in [0, 1]."""
    if settings.max_entropy_fraction is not None:
        return settings.max_entropy_fraction
    known = card.evidence.quantiles.get("entropy", ()) if card.evidence is not None else ()
    if not known:
        return _UNKNOWN_SOURCE
    return float(np.interp(settings.quantile, np.linspace(0.0, 1.0, len(known)), known))


@register("cotta")
class Cotta(MeanTeacher):
    """The teacher answers and gives the targets; the student learns, all parameters of it, and is partly restored."""

    Settings = CottaSettings
    rests_when_sure = True

    def __init__(self, model: FasModel, card: Card, settings: CottaSettings, seed: int) -> None:
        super().__init__(model, card, settings, seed)
        self._centre = torch.tensor([card.gate.get(f"centre.{m.value}", 0.0) for m in MODALITIES])
        self._limit = unsure_from(settings, card)

    def surface_of(self, model: FasModel) -> frozenset[str]:
        """All parameters."""
        return frozenset(name for name, _ in model.named_parameters())

    def learn(self, batch: Batch) -> Learnt:
        """See `OnlineAdapter.learn`."""
        s = self.settings
        generator = self.draws(self._step)
        with torch.no_grad(), contiguous_norms(self._model):
            answer = self._model(batch)
            votes = torch.sigmoid(self.ask_source(batch).modality_logits - self._centre)
            unsure = float(assess(votes, batch.present).uncertainty.mean())
            sure = unsure <= self._limit
            target = torch.sigmoid(answer.logit if sure else self._averaged(batch, generator))
        with self._student.differentiable(), contiguous_norms(self._model):
            loss = soft_cross_entropy(self.ask_student(batch).logit, target).mean()
            gradients = torch.autograd.grad(loss, list(self._student.values.values()), allow_unused=True)
        amount = float(loss.detach())
        if not finite(amount, gradients):
            return Learnt(answer, reason=NOT_FINITE)
        signals = {"source_entropy": unsure, "averaged": float(not sure)}
        if not any(bool(gradient.any()) for gradient in gradients if gradient is not None):
            return Learnt(answer, reason="student and teacher agree", signals=signals)
        self._optimiser.step(gradients)
        self.follow()
        restored = self._student.restore_share(s.restore, generator)
        return Learnt(answer, amount, rows=range(len(batch)), signals={**signals, "restored": float(restored)})

    def _averaged(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Mean logit ``[B]`` of the teacher over augmented views of each capture."""
        views, count = self.settings.views, len(batch)
        at_once = max(1, _ROWS_AT_ONCE // count)
        total = torch.zeros(count)
        for first in range(0, views, at_once):
            some = min(at_once, views - first)
            several = batch.select(torch.arange(count).repeat(some))
            logits = self._model(strong_view(several, self._model.spec, generator)).logit
            total = total + logits.view(some, count).sum(dim=0)
        mean: Tensor = total / views
        return mean
