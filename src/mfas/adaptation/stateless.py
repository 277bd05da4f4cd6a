"""Methods that move no weight: what they say of a batch is a function of the source model and that batch."""

from __future__ import annotations

from abc import abstractmethod
from time import perf_counter
from typing import Any, ClassVar

from mfas.adaptation.contract import Adapter, AdapterState, StepReport
from mfas.adaptation.live import check_facts
from mfas.card import Card
from mfas.core import Batch, Prediction
from mfas.models.contract import FasModel


class StatelessAdapter(Adapter):
    """Base of these methods: a subclass gives `predict`, and says in ``reason`` why no step is ever an update."""

    reason: ClassVar[str]
    adapted_parameters: frozenset[str] = frozenset()

    def __init__(self, model: FasModel, card: Card, settings: Any, seed: int) -> None:
        del card, seed
        self.settings = settings
        self._model = model.eval()
        self._step = 0

    @abstractmethod
    def predict(self, batch: Batch) -> Prediction:
        """See `Adapter.predict`."""

    def step(self, batch: Batch) -> tuple[Prediction, StepReport]:
        """See `Adapter.step`."""
        start = perf_counter()
        prediction = self.predict(batch)
        seconds = perf_counter() - start
        report = StepReport(step=self._step, seen=len(batch), skipped_reason=self.reason, seconds=seconds)
        self._step += 1
        return prediction, report

    def reset(self) -> None:
        """See `Adapter.reset`."""
        self._step = 0

    @property
    def model(self) -> FasModel:
        """See `Adapter.model`."""
        return self._model

    def state(self) -> AdapterState:
        """See `Adapter.state`."""
        return AdapterState({}, {**self._belongs(), "step": self._step})

    def load_state(self, state: AdapterState) -> None:
        """See `Adapter.load_state`."""
        check_facts(state.facts, **self._belongs())
        self._step = int(state.facts["step"])

    def _belongs(self) -> dict[str, Any]:
        return {"method": self.name, "settings": self.settings.model_dump(mode="json")}
