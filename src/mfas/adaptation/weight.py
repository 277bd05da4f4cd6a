"""The adaptive loss weight: falls at once when adaptation is unstable, rises slowly when it is stable.

The paper (arXiv 2509.23475, abstract) states the behaviour; signals and form are ours (`docs/methods/mfas_danet.md`).
"""

from __future__ import annotations

from math import exp, sqrt
from typing import Any

from pydantic import Field

from mfas.config import Config


class WeightSettings(Config):
    """How strongly each signal lowers the weight, and its floor. ``rise`` in (0, 1]: share of the way up per step."""

    loss_jump: float = Field(1 / 3, ge=0)
    flip_rate: float = Field(2.0, ge=0)
    mean_uncertainty: float = Field(1.0, ge=0)
    floor: float = Field(0.05, ge=0, le=1)
    rise: float = Field(0.3, gt=0, le=1)


class AdaptiveWeight:
    """Keeps running statistics of the loss and turns three signals into a weight in [floor, 1].

    ``loss_jump`` = max(0, loss - running mean) / running deviation; ``flip_rate`` in [0, 1]: decisions of the live
    model that differ from the frozen source model's; ``mean_uncertainty`` in [0, 1] over observed modalities.
    """

    def __init__(self, settings: WeightSettings) -> None:
        self.settings = settings
        self.clear()

    def clear(self) -> None:
        """Forget the past."""
        self.value = 1.0
        self.loss_mean: float | None = None
        self.loss_variance = 0.0
        self.signals = {"loss_jump": 0.0, "flip_rate": 0.0, "mean_uncertainty": 0.0}

    def observe_batch(self, flip_rate: float, mean_uncertainty: float) -> float:
        """Take in what one batch showed; returns the weight now in force."""
        self.signals["flip_rate"] = 0.8 * self.signals["flip_rate"] + 0.2 * flip_rate
        self.signals["mean_uncertainty"] = 0.8 * self.signals["mean_uncertainty"] + 0.2 * mean_uncertainty
        return self._settle()

    def observe_loss(self, loss: float) -> float:
        """Take in the loss of an update about to be made; returns the weight for it."""
        if self.loss_mean is None:
            self.loss_mean = loss
        deviation = loss - self.loss_mean
        self.signals["loss_jump"] = max(0.0, deviation) / sqrt(self.loss_variance + 1e-4)
        self.loss_mean += 0.1 * deviation
        self.loss_variance = 0.9 * self.loss_variance + 0.1 * deviation**2
        return self._settle()

    def _settle(self) -> float:
        s = self.settings
        instability = (
            s.loss_jump * self.signals["loss_jump"]
            + s.flip_rate * self.signals["flip_rate"]
            + s.mean_uncertainty * self.signals["mean_uncertainty"]
        )
        wanted = min(1.0, max(s.floor, exp(-instability)))
        self.value = wanted if wanted < self.value else self.value + s.rise * (wanted - self.value)
        return self.value

    def state(self) -> dict[str, Any]:
        """JSON-safe snapshot."""
        return {
            "value": self.value,
            "loss_mean": self.loss_mean,
            "loss_variance": self.loss_variance,
            "signals": dict(self.signals),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore a snapshot."""
        self.value = state["value"]
        self.loss_mean = state["loss_mean"]
        self.loss_variance = state["loss_variance"]
        self.signals = dict(state["signals"])
