"""No adaptation: the row every other row is held against."""

from __future__ import annotations

from time import perf_counter

from mfas.adaptation.contract import Adapter, AdapterState, StepReport
from mfas.adaptation.registry import register
from mfas.card import Card
from mfas.config import Config
from mfas.core import Batch, Prediction
from mfas.errors import StateError
from mfas.models.contract import FasModel


@register("source")
class Source(Adapter):
    """Scores and never learns."""

    adapted_parameters: frozenset[str] = frozenset()

    def __init__(self, model: FasModel, card: Card, settings: Config, seed: int) -> None:
        del card, settings, seed
        self._model = model.eval()
        self._step = 0

    def step(self, batch: Batch) -> tuple[Prediction, StepReport]:
        """See `Adapter.step`."""
        start = perf_counter()
        prediction = self.predict(batch)
        seconds = perf_counter() - start
        report = StepReport(step=self._step, seen=len(batch), skipped_reason="source never learns", seconds=seconds)
        self._step += 1
        return prediction, report

    def predict(self, batch: Batch) -> Prediction:
        """See `Adapter.predict`."""
        return self._model.predict(batch)

    def reset(self) -> None:
        """See `Adapter.reset`."""
        self._step = 0

    @property
    def model(self) -> FasModel:
        """See `Adapter.model`."""
        return self._model

    def state(self) -> AdapterState:
        """See `Adapter.state`."""
        return AdapterState({}, {"method": self.name, "step": self._step})

    def load_state(self, state: AdapterState) -> None:
        """See `Adapter.load_state`."""
        if state.facts.get("method") != self.name:
            raise StateError(f"expected a state of method '{self.name}', got '{state.facts.get('method')}'")
        self._step = int(state.facts["step"])
