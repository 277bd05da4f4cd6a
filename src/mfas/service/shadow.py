"""A shadow: a copy of the source model that learns, and can be put where a state in force stands."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from math import isfinite
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from mfas.adaptation.contract import AdapterState, StepReport
from mfas.adaptation.registry import create
from mfas.card import Card
from mfas.core import Batch, Prediction
from mfas.errors import StateError
from mfas.models.contract import FasModel


class Shadow:
    """An online `Adapter` by registry name around ``model``, which becomes its own. ``updates`` count from the source.

    Answers are never taken from a shadow. Its memory (feature maps of captures) lives in this process only.
    """

    def __init__(self, method: str, model: FasModel, card: Card, settings: Mapping[str, Any], seed: int = 0) -> None:
        self._adapter = create(method, model, card, settings, seed)
        self.updates = 0
        self.drift = 0.0
        self._kept = self._snapshot()

    def step(self, batch: Batch) -> StepReport:
        """Learn from a batch if the evidence allows."""
        _, report = self._adapter.step(batch)
        self.updates += report.updated
        self.drift = report.drift
        return report

    def predict(self, batch: Batch) -> Prediction:
        """What the shadow would answer: for canaries only."""
        return self._adapter.predict(batch)

    def finite(self) -> bool:
        """Whether every weight that may move is a number."""
        return isfinite(self.drift) and all(bool(torch.isfinite(x).all()) for x in self._adapter.delta().values())

    def weights(self, about: Mapping[str, str]) -> tuple[str, bytes]:
        """The moved tensors as the bytes of a safetensors file with ``about`` in its header, and their SHA-256."""
        raw = save({name: x.contiguous() for name, x in self._adapter.delta().items()}, dict(about))
        return hashlib.sha256(raw).hexdigest(), raw

    def keep(self) -> None:
        """Here is where `back` comes back to: the shadow as it is, memory included."""
        self._kept = self._snapshot()

    def back(self) -> None:
        """Exactly to where `keep` or `put` was called last; what was learnt since is forgotten."""
        state, self.updates, self.drift = self._kept
        self._adapter.load_state(state)

    def put(self, delta: Mapping[str, Tensor] | None, updates: int = 0, drift: float = 0.0) -> None:
        """Start afresh, with an empty memory, from the weights of a stored state (None: the source).

        The source model goes on gating: to the adapter this is a model that was updated ``updates`` times. Raises
        `StateError` when the weights do not fit or the method cannot be put there.
        """
        self._adapter.reset()
        if delta is not None:
            own = set(self._adapter.adapted_parameters)
            if set(delta) != own:
                raise StateError(f"expected a state of {len(own)} tensors of this method, got one of {len(delta)}")
            fresh = self._adapter.state()
            tensors = {name: _moved(name, value, delta) for name, value in fresh.tensors.items()}
            self._adapter.load_state(AdapterState(tensors, _counted(fresh.facts, max(updates, 1))))
            self._overwrite(delta)
        self.updates, self.drift = (0, 0.0) if delta is None else (updates, drift)
        self.keep()

    @torch.no_grad()
    def _overwrite(self, delta: Mapping[str, Tensor]) -> None:
        """Whatever the adapter keeps under another name than that of the weight, such as a bias it holds."""
        own = self._adapter.model.state_dict()
        for name, value in delta.items():
            if own[name].shape != value.shape or own[name].dtype != value.dtype:
                raise StateError(f"expected '{name}' as {tuple(own[name].shape)}, got {tuple(value.shape)}")
            own[name].copy_(value)
        found = self._adapter.delta()
        if any(not torch.equal(found[name], value) for name, value in delta.items()):
            raise StateError("expected a method that can be put on stored weights, got one that cannot")

    def _snapshot(self) -> tuple[AdapterState, int, float]:
        return self._adapter.state(), self.updates, self.drift


def _moved(name: str, value: Tensor, delta: Mapping[str, Tensor]) -> Tensor:
    """The stored weight in place of the fresh one: adapters name it ``live.NAME``, guards put prefixes before that."""
    _, found, own = name.rpartition("live.") if name.startswith("live.") else name.rpartition(".live.")
    return delta[own].clone() if found and own in delta and delta[own].shape == value.shape else value


def _counted(facts: Mapping[str, Any], updates: int) -> dict[str, Any]:
    """Facts of a state after so many updates: what tells an adapter that its model is no longer the source."""
    out = dict(facts)
    if "updates" in out:
        out["updates"] = updates
    if isinstance(out.get("inner"), Mapping):
        out["inner"] = _counted(out["inner"], updates)
    return out
