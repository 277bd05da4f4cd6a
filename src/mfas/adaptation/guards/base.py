"""What every guard is: an `Adapter` around an `Adapter`, with its own step count and its own part of the state."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from time import perf_counter
from typing import Any, ClassVar

from torch import Tensor

from mfas.adaptation.contract import Adapter, AdapterState, StepReport
from mfas.adaptation.live import LiveTensors, check_facts
from mfas.config import Config
from mfas.core import Batch, Prediction
from mfas.models.contract import FasModel


class Guard(Adapter):
    """Base of every guard; subclasses set `Settings` and write `guarded`, and the ``_own`` methods if they remember.

    The wrapped adapter must stand at its source state when the guard is built. ``StepReport.step`` is the outermost
    guard's own count, since a guard may set its inner adapter back. A guard with ``needs_labelled`` is built with a
    third argument, a `LoadLabelled`.
    """

    needs_labelled: ClassVar[bool] = False

    def __init__(self, inner: Adapter, settings: Config) -> None:
        self.inner = inner
        self.settings = settings
        self.batch_independent = inner.batch_independent
        self.starts_as_source = inner.starts_as_source
        self.rests_when_sure = inner.rests_when_sure
        self.adapted_parameters = inner.adapted_parameters
        self._live = LiveTensors(inner.model, inner.adapted_parameters)
        self._step = 0

    @abstractmethod
    def guarded(self, batch: Batch) -> tuple[Prediction, StepReport]:
        """Let the inner adapter step, then act. A refused batch must not have changed anything."""

    def step(self, batch: Batch) -> tuple[Prediction, StepReport]:
        """See `Adapter.step`."""
        start = perf_counter()
        prediction, report = self.guarded(batch)
        report = replace(report, step=self._step, drift=self._live.drift(), seconds=perf_counter() - start)
        self._step += 1
        return prediction, report

    def predict(self, batch: Batch) -> Prediction:
        """See `Adapter.predict`."""
        return self.inner.predict(batch)

    def reset(self) -> None:
        """See `Adapter.reset`."""
        self.inner.reset()
        self._step = 0
        self._reset_own()

    @property
    def model(self) -> FasModel:
        """See `Adapter.model`."""
        return self.inner.model

    def state(self) -> AdapterState:
        """See `Adapter.state`."""
        inner = self.inner.state()
        tensors, own = self._own_state()
        facts = {**self._belongs(), "step": self._step, "inner": inner.facts, "own": own}
        return AdapterState({f"inner.{name}": value for name, value in inner.tensors.items()} | tensors, facts)

    def load_state(self, state: AdapterState) -> None:
        """See `Adapter.load_state`."""
        facts = state.facts
        check_facts(facts, **self._belongs())
        self.inner.load_state(AdapterState(part(state.tensors, "inner."), facts["inner"]))
        self._step = int(facts["step"])
        self._load_own(state.tensors, facts["own"])

    def _belongs(self) -> dict[str, Any]:
        """Facts that a state must share to be taken."""
        return {"method": self.name, "settings": self.settings.model_dump(mode="json")}

    def _own_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return {}, {}

    def _load_own(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        del tensors, facts

    def _reset_own(self) -> None:
        return None


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries whose name starts with ``prefix``, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def undone(report: StepReport, verdict: str) -> StepReport:
    """A report of an update that did not stand."""
    return replace(report, updated=False, loss=None, skipped_reason=verdict, guard=said(report, verdict))


def said(report: StepReport, verdict: str) -> str:
    """A verdict after those of the guards further in."""
    return verdict if report.guard is None else f"{report.guard}; {verdict}"
