"""The tensors an adapter moves, beside their source values, and the Adam optimiser that moves them.

Also the two devices that keep them near the source, `LiveTensors.pull` and `LiveTensors.project`, with their bound in
`drift_bound`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import inf
from typing import Any

import torch
from torch import Tensor

from mfas.errors import StateError
from mfas.models.contract import FasModel


class LiveTensors:
    """``values``: the model's own tensors by name (moved in place); ``source``: a copy of each as it was.

    Distances are root mean square over all elements of all tensors together: `drift` has the unit of a parameter.
    """

    def __init__(self, model: FasModel, names: Collection[str]) -> None:
        own = model.state_dict(keep_vars=True)
        self.values: dict[str, Tensor] = {name: own[name] for name in sorted(names)}
        self.source = {name: value.detach().clone() for name, value in self.values.items()}

    @torch.no_grad()
    def restore(self) -> None:
        """Back to the source, bit for bit."""
        for name, value in self.values.items():
            value.copy_(self.source[name])

    @torch.no_grad()
    def drift(self) -> float:
        """Root mean square distance from the source; 0 when nothing can move."""
        square = sum(float((v - self.source[n]).square().sum()) for n, v in self.values.items())
        count = sum(v.numel() for v in self.values.values())
        return float((square / count) ** 0.5) if count else 0.0

    @torch.no_grad()
    def pull(self, share: float) -> None:
        """Move every value towards its source by ``share`` in [0, 1) of the way."""
        for name, value in self._floating():
            value.lerp_(self.source[name], share)

    @torch.no_grad()
    def project(self, radius: float) -> bool:
        """If `drift` exceeds ``radius``, shrink the displacement to it; says whether it did.

        The result is the nearest point of the ball, up to float32 rounding of the values.
        """
        drift = self.drift()
        if drift <= radius:
            return False
        for name, value in self._floating():
            value.copy_(self.source[name] + (value - self.source[name]) * (radius / drift))
        return True

    @contextmanager
    def differentiable(self) -> Iterator[None]:
        """Inside, the values ask for gradients; outside they do not."""
        for value in self.values.values():
            value.requires_grad_(True)
        try:
            with torch.enable_grad():
                yield
        finally:
            for value in self.values.values():
                value.requires_grad_(False)

    def state(self) -> dict[str, Tensor]:
        """Copies as ``live.NAME``."""
        return {f"live.{name}": value.detach().clone() for name, value in self.values.items()}

    def check(self, tensors: Mapping[str, Tensor]) -> None:
        """Raise `StateError` unless `load` can take ``tensors``."""
        for name, value in self.values.items():
            found = tensors.get(f"live.{name}")
            if found is None or found.shape != value.shape:
                raise StateError(f"expected '{name}' as {tuple(value.shape)} in the state, found another shape or none")

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take what `state` gave."""
        for name, value in self.values.items():
            value.copy_(tensors[f"live.{name}"])

    def _floating(self) -> Iterator[tuple[str, Tensor]]:
        """What can be moved by a share: not counters such as those of batch normalisation."""
        return ((name, value) for name, value in self.values.items() if value.is_floating_point())


class LiveAdam:
    """Adam over live tensors, with a rate per step and a state that can be saved."""

    def __init__(self, live: LiveTensors, learning_rate: float, beta1: float = 0.9) -> None:
        self._live = live
        self._learning_rate = learning_rate
        self._betas = (beta1, 0.999)
        self.reset()

    def reset(self) -> None:
        """Forget the moments."""
        values = list(self._live.values.values())
        self._adam = torch.optim.Adam(values, lr=self._learning_rate, betas=self._betas)

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor | None], scale: float = 1.0) -> None:
        """One step with ``learning_rate * scale``: Adam would undo a scaled loss, so the step is scaled."""
        for value, gradient in zip(self._live.values.values(), gradients, strict=True):
            value.grad = gradient
        self._adam.param_groups[0]["lr"] = self._learning_rate * scale
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Tensor]:
        """Copies of the moments and step counts as ``optimiser.KEY.NAME``."""
        out: dict[str, Tensor] = {}
        for name, value in self._live.values.items():
            for key, tensor in self._adam.state.get(value, {}).items():
                out[f"optimiser.{key}.{name}"] = tensor.detach().clone()
        return out

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take what `state` gave."""
        self.reset()
        for name, value in self._live.values.items():
            state: dict[str, Any] = {}
            for key in ("step", "exp_avg", "exp_avg_sq"):
                if f"optimiser.{key}.{name}" in tensors:
                    state[key] = tensors[f"optimiser.{key}.{name}"].clone()
            if state:
                self._adam.state[value] = state


NOT_FINITE = "loss or gradient not finite"
"""Why an update was not made where `finite` says no."""


def finite(loss: float, gradients: Sequence[Tensor | None]) -> bool:
    """Whether an update may be made with these."""
    return abs(loss) < inf and all(bool(torch.isfinite(g).all()) for g in gradients if g is not None)


def check_facts(facts: Mapping[str, Any], **expected: Any) -> None:
    """Raise `StateError` naming the first fact of a state that is not as ``expected``."""
    for key, own in expected.items():
        if facts.get(key) != own:
            raise StateError(f"expected a state with {key} {own}, got {facts.get(key)}")


def drift_bound(step: float, share: float, radius: float | None) -> float:
    r"""What drift can never exceed when every update moves at most ``step``, then pulls, then projects.

    Let $d_t$ be the drift after update $t$, $d_0 = 0$. A pull of ``share`` $\rho$ gives
    $d_{t+1} \le (1 - \rho)(d_t + s)$, whose fixed point $s (1 - \rho) / \rho$ no $d_t$ exceeds; a projection gives
    $d_t \le R$. Both hold for any gradients. With neither the drift has no bound.

    >>> round(drift_bound(0.02, 0.01, None), 3), drift_bound(0.02, 0.01, 0.1), drift_bound(0.02, 0.0, None)
    (1.98, 0.1, inf)
    """
    pulled = step * (1 - share) / share if share else inf
    return pulled if radius is None else min(pulled, radius)
