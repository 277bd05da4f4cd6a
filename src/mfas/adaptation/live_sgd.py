"""Stochastic gradient descent with momentum over live tensors, the optimiser EATA and SAR were published with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mfas.adaptation.live import LiveTensors


class LiveSgd:
    r"""$v \leftarrow \mu v + g$, $\theta \leftarrow \theta - \eta v$, with a state that can be saved.

    A tensor without a gradient keeps its velocity and stays.
    """

    def __init__(self, live: LiveTensors, learning_rate: float, momentum: float) -> None:
        self._live = live
        self._learning_rate = learning_rate
        self._momentum = momentum
        self.reset()

    def reset(self) -> None:
        """Forget the velocities."""
        self._velocity: dict[str, Tensor] = {}

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor | None], scale: float = 1.0) -> None:
        """One step with ``learning_rate * scale``; gradients in the order of ``LiveTensors.values``."""
        for (name, value), gradient in zip(self._live.values.items(), gradients, strict=True):
            if gradient is not None:
                before = self._velocity.get(name)
                velocity = gradient.clone() if before is None else self._momentum * before + gradient
                self._velocity[name] = velocity
                value.sub_(velocity, alpha=self._learning_rate * scale)

    def state(self) -> dict[str, Tensor]:
        """Copies of the velocities as ``optimiser.velocity.NAME``."""
        return {f"optimiser.velocity.{name}": velocity.clone() for name, velocity in self._velocity.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take what `state` gave."""
        keys = {name: f"optimiser.velocity.{name}" for name in self._live.values}
        self._velocity = {name: tensors[key].clone() for name, key in keys.items() if key in tensors}
