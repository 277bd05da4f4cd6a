"""RoTTA (Yuan et al., CVPR 2023): a class-balanced memory, a slow teacher, and less weight for what is old.

Its robust batch normalisation has nothing to act on in GroupNorm models. What is left, and what differs with one logit
and missing modalities: `docs/methods/rotta.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from mfas.adaptation.cstu import Cstu
from mfas.adaptation.live import NOT_FINITE, finite
from mfas.adaptation.online import Learnt
from mfas.adaptation.registry import register
from mfas.adaptation.strong_views import strong_view
from mfas.adaptation.surface import contiguous_norms
from mfas.adaptation.teacher import MeanTeacher, soft_cross_entropy
from mfas.adaptation.tent import entropy
from mfas.card import Card
from mfas.config import Config
from mfas.core import MODALITIES, Batch, Label
from mfas.models.contract import FasModel


class RottaSettings(Config):
    """As published; nothing is tuned here. ``capacity`` counts both classes together."""

    learning_rate: float = Field(1e-3, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1, description="Adam's beta1")
    teacher_momentum: float = Field(0.999, ge=0, lt=1)
    capacity: int = Field(64, ge=2, multiple_of=2)
    update_every: int = Field(64, ge=1, description="captures seen between two updates")
    weight_age: float = Field(1.0, ge=0)
    weight_uncertainty: float = Field(1.0, ge=0)


def timeliness(age: Tensor) -> Tensor:
    r"""Weight $e^{-A} / (1 + e^{-A})$ in (0, 0.5] of a capture whose age over the capacity is $A$; same shape.

    >>> timeliness(torch.tensor([0.0, 1.0])).tolist()
    [0.5, 0.2689414322376251]
    """
    return torch.sigmoid(-age)


@register("rotta")
class Rotta(MeanTeacher):
    """The teacher answers and labels; the student learns the memory under strong views; norms alone move."""

    Settings = RottaSettings

    def __init__(self, model: FasModel, card: Card, settings: RottaSettings, seed: int) -> None:
        super().__init__(model, card, settings, seed)
        self._memory = Cstu(settings.capacity, settings.weight_age, settings.weight_uncertainty)
        self._seen = 0

    def learn(self, batch: Batch) -> Learnt:
        """See `OnlineAdapter.learn`."""
        with torch.no_grad():
            answer = self._model(batch)
        uncertainty = (entropy(answer.logit) / log(2)).tolist()
        labels = [Label.BONA_FIDE if z >= 0 else Label.ATTACK for z in answer.logit.tolist()]
        rows: list[int] = []
        losses: list[float] = []
        reason: str | None = "between two updates"
        for row, label in enumerate(labels):
            there = [m for column, m in enumerate(MODALITIES) if bool(batch.present[row, column])]
            if self._memory.offer({m: batch.images[m][row] for m in there}, label, uncertainty[row]):
                rows.append(row)
            self._seen += 1
            if self._seen % self.settings.update_every == 0:
                loss = self._update()
                losses += [] if loss is None else [loss]
                reason = NOT_FINITE if loss is None else None
        held = {f"held_{label.value}": float(count) for label, count in self._memory.counts().items()}
        return Learnt(
            answer,
            sum(losses) / len(losses) if losses else None,
            reason=None if losses else reason,
            rows=rows,
            labels=[labels[row] for row in rows],
            queued=len(rows),
            signals=held,
        )

    def _update(self) -> float | None:
        """One step of the student on the memory, then the teacher follows; None where it was not finite."""
        held, ages = self._memory.batch()
        strong = strong_view(held, self._model.spec, self.draws(self._seen))
        with torch.no_grad(), contiguous_norms(self._model):
            target = torch.sigmoid(self._model(held).logit)
        with self._student.differentiable(), contiguous_norms(self._model):
            loss = (timeliness(ages) * soft_cross_entropy(self.ask_student(strong).logit, target)).mean()
            gradients = torch.autograd.grad(loss, list(self._student.values.values()), allow_unused=True)
        amount = float(loss.detach())
        if not finite(amount, gradients):
            return None
        self._optimiser.step(gradients)
        self.follow()
        return amount

    def extra_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """See `OnlineAdapter.extra_state`; the memory's pixels are part of it."""
        tensors, facts = super().extra_state()
        pixels, entries = self._memory.state()
        return tensors | pixels, facts | {"memory": entries, "seen": self._seen}

    def load_extra(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """See `OnlineAdapter.load_extra`."""
        super().load_extra(tensors, facts)
        self._memory.load(tensors, facts["memory"])
        self._seen = int(facts["seen"])

    def forget(self) -> None:
        """See `OnlineAdapter.forget`."""
        super().forget()
        self._memory.clear()
        self._seen = 0
