"""SAR (Niu et al., ICLR 2023): entropy of reliable captures at a flat minimum, and a way back when it sinks too low.

What differs with one logit, two classes and missing modalities: `docs/methods/sar.md`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import log
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from mfas.adaptation.live import NOT_FINITE, LiveTensors, finite
from mfas.adaptation.live_sgd import LiveSgd
from mfas.adaptation.norm_method import UNRELIABLE, NormMethod
from mfas.adaptation.online import Learnt, LiveOptimiser
from mfas.adaptation.registry import register
from mfas.adaptation.surface import lower_norm_names
from mfas.adaptation.tent import entropy
from mfas.config import Config
from mfas.core import Batch
from mfas.models.contract import FasModel

RESET = "reset: the average loss fell under its limit"
"""Why an update did not stand where the method went back to the source."""


class SarSettings(Config):
    """As published for a convolutional network, entropies as fractions of ln 2; nothing is tuned here."""

    learning_rate: float = Field(2.5e-4, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    max_entropy_fraction: float = Field(0.4, gt=0, le=1, description="of ln 2; captures above do not teach")
    radius: float = Field(0.05, gt=0, description="length of the step uphill")
    reset_fraction: float = Field(0.029, ge=0, lt=1, description="of ln 2; reset when the average loss is under it")
    decay: float = Field(0.9, ge=0, lt=1, description="of the average loss")


@register("sar")
class Sar(NormMethod):
    """Two passes per batch; scale and shift of the norms below the last stage move."""

    Settings = SarSettings
    settings: SarSettings
    needs = frozenset({"lower_norm"})
    _average: float | None = None

    def surface_of(self, model: FasModel) -> frozenset[str]:
        """All normalisation layers but those of the last stage and of what stands above it."""
        return lower_norm_names(model)

    def optimiser_of(self, live: LiveTensors) -> LiveOptimiser:
        """See `OnlineAdapter.optimiser_of`."""
        return LiveSgd(live, self.settings.learning_rate, self.settings.momentum)

    def learn(self, batch: Batch) -> Learnt:
        """See `OnlineAdapter.learn`."""
        limit = self.settings.max_entropy_fraction * log(2)
        with self.learning():
            output = self._model(batch)
            uncertain = entropy(output.logit)
            rows = (uncertain.detach() < limit).nonzero().flatten()
            if not len(rows):
                return Learnt(output, reason=UNRELIABLE)
            uphill = self.slopes(uncertain[rows].mean())
            if not finite(0.0, uphill):
                return Learnt(output, reason=NOT_FINITE)
            with self._moved(uphill):
                again = entropy(self._model(batch).logit)[rows]
                still = (again.detach() < limit).nonzero().flatten()
                if not len(still):
                    return Learnt(output, reason="no capture under the entropy limit after the step uphill")
                loss = again[still].mean()
                gradients = self.slopes(loss)
        amount = float(loss.detach())
        if not finite(amount, gradients):
            return Learnt(output, reason=NOT_FINITE)
        self._optimiser.step(gradients)
        signals = {"average_loss": self._observe(amount)}
        if signals["average_loss"] < self.settings.reset_fraction * log(2):
            self._live.restore()
            self._optimiser.reset()
            self.forget()
            return Learnt(output, reason=RESET, signals=signals)
        return Learnt(output, amount, rows=rows[still].tolist(), signals=signals)

    def extra_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """See `OnlineAdapter.extra_state`."""
        return {}, {"average_loss": self._average}

    def load_extra(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """See `OnlineAdapter.load_extra`."""
        del tensors
        self._average = facts["average_loss"]

    def forget(self) -> None:
        """See `OnlineAdapter.forget`."""
        self._average = None

    def _observe(self, loss: float) -> float:
        decay = self.settings.decay
        self._average = loss if self._average is None else decay * self._average + (1 - decay) * loss
        return self._average

    @contextmanager
    def _moved(self, gradients: Sequence[Tensor | None]) -> Iterator[None]:
        """Inside, the live tensors stand ``radius`` up the slope; then exactly where they were."""
        length = sum(float(g.square().sum()) for g in gradients if g is not None) ** 0.5
        before = [value.detach().clone() for value in self._live.values.values()]
        with torch.no_grad():
            for value, gradient in zip(self._live.values.values(), gradients, strict=True):
                if gradient is not None:
                    value.add_(gradient, alpha=self.settings.radius / (length + 1e-12))
        try:
            yield
        finally:
            with torch.no_grad():
                for value, old in zip(self._live.values.values(), before, strict=True):
                    value.copy_(old)
