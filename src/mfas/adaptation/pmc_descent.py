"""Gradient descent of PMC over the model's live tensors and the new domain heads, each at its own rate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mfas.adaptation.live import LiveTensors, finite
from mfas.adaptation.offline import Course
from mfas.adaptation.pmc_terms import rate_factor

if TYPE_CHECKING:
    from mfas.adaptation.pmc import PmcSettings


class Descent:
    """SGD with momentum in two groups; the schedule multiplies the rate of each and replaces none."""

    def __init__(self, live: LiveTensors, heads: Sequence[nn.Parameter], own: PmcSettings, course: Course) -> None:
        self._live, self._course = live, course
        self._moved: list[Tensor] = [*live.values.values(), *heads]
        self._rates = (own.learning_rate, own.head_factor * own.learning_rate)
        groups: list[dict[str, Any]] = [{"params": list(live.values.values())}, {"params": list(heads)}]
        self._sgd = torch.optim.SGD(groups, own.learning_rate, own.momentum)
        self._losses: list[float] = []

    @contextmanager
    def differentiable(self) -> Iterator[None]:
        """Inside, the model's live tensors ask for gradients."""
        with self._live.differentiable():
            yield

    def step(self, loss: Tensor, progress: float) -> None:
        """One step at ``progress`` in [0, 1] of the fit; none where loss or gradients are not finite."""
        gradients = torch.autograd.grad(loss, self._moved, allow_unused=True)
        amount = float(loss.detach())
        if not finite(amount, gradients):
            self._course.skipped += 1
            return
        for value, gradient in zip(self._moved, gradients, strict=True):
            value.grad = gradient
        for group, rate in zip(self._sgd.param_groups, self._rates, strict=True):
            group["lr"] = rate * rate_factor(progress)
        self._sgd.step()
        self._sgd.zero_grad(set_to_none=True)
        self._course.steps += 1
        self._losses.append(amount)

    def end_pass(self) -> None:
        """Keep the mean loss of the pass."""
        self._course.losses.append(sum(self._losses) / len(self._losses) if self._losses else 0.0)
        self._losses = []
