"""Mean teachers: the wrapped model is the teacher, which answers; a second set of values is the student.

The student learns by gradient, the teacher follows it as a moving average (Tarvainen and Valpola, NeurIPS 2017).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from mfas.adaptation.live import LiveAdam, LiveTensors
from mfas.adaptation.online import OnlineAdapter
from mfas.core import Batch
from mfas.errors import StateError
from mfas.models.contract import ModelOutput


class StudentTensors(LiveTensors):
    """Values of their own, by the teacher's names, beside the same source."""

    def __init__(self, teacher: LiveTensors) -> None:
        self.values = {name: value.detach().clone() for name, value in teacher.values.items()}
        self.source = teacher.source

    def state(self) -> dict[str, Tensor]:
        """Copies as ``student.NAME``."""
        return {f"student.{name}": value.detach().clone() for name, value in self.values.items()}

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take what `state` gave; `StateError` where one is lacking."""
        for name, value in self.values.items():
            found = tensors.get(f"student.{name}")
            if found is None or found.shape != value.shape:
                raise StateError(f"expected the student's '{name}' as {tuple(value.shape)} in the state")
            value.copy_(found)

    @torch.no_grad()
    def restore_share(self, share: float, generator: torch.Generator) -> int:
        """Set every single weight back to its source with probability ``share``; says how many were drawn."""
        drawn = 0
        for name, value in self.values.items():
            mask = torch.rand(value.shape, generator=generator) < share
            value.copy_(torch.where(mask, self.source[name], value))
            drawn += int(mask.sum())
        return drawn


class MeanTeacher(OnlineAdapter):
    """Base of methods with a teacher. Settings need ``learning_rate``, ``momentum`` and ``teacher_momentum``."""

    _student: StudentTensors

    def optimiser_of(self, live: LiveTensors) -> LiveAdam:
        """Adam over the student's values."""
        self._student = StudentTensors(live)
        return LiveAdam(self._student, self.settings.learning_rate, self.settings.momentum)

    def ask_student(self, batch: Batch) -> ModelOutput:
        """The student's output, with gradient inside `StudentTensors.differentiable`."""
        output: ModelOutput = functional_call(self._model, self._student.values, (batch,))
        return output

    def ask_source(self, batch: Batch) -> ModelOutput:
        """The source model's output."""
        output: ModelOutput = functional_call(self._model, self._live.source, (batch,))
        return output

    @torch.no_grad()
    def follow(self) -> None:
        """The teacher moves towards the student by one minus ``teacher_momentum`` of the way."""
        for name, value in self._live.values.items():
            value.lerp_(self._student.values[name], 1 - self.settings.teacher_momentum)

    def draws(self, count: int) -> torch.Generator:
        """A generator from the seed of the method and ``count`` alone, so that a resumed stream draws the same."""
        return torch.Generator().manual_seed(self.seed * 1_000_003 + count)

    def extra_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """See `OnlineAdapter.extra_state`."""
        return self._student.state(), {}

    def load_extra(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """See `OnlineAdapter.load_extra`."""
        del facts
        self._student.load(tensors)

    def forget(self) -> None:
        """See `OnlineAdapter.forget`."""
        self._student.restore()


def soft_cross_entropy(logit: Tensor, target: Tensor) -> Tensor:
    r"""Cross-entropy $-q \log \sigma(z) - (1 - q) \log \sigma(-z)$ of student logits to soft targets $q$; same shape.

    Its slope in $z$ is $\sigma(z) - q$.
    """
    return bce(logit, target, reduction="none")
