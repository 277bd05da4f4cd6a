"""What published online methods share: live tensors, their optimiser, counters, and a state that can be saved."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from mfas.adaptation.contract import Adapter, AdapterState, StepReport
from mfas.adaptation.live import LiveAdam, LiveTensors, check_facts
from mfas.adaptation.surface import norm_names, without_frozen
from mfas.card import Card
from mfas.config import Config
from mfas.core import Batch, Label, Prediction
from mfas.models.contract import FasModel, ModelOutput, check_batch, to_prediction


@dataclass(frozen=True, slots=True)
class Learnt:
    """What one batch taught an `OnlineAdapter`.

    ``output`` is the answer from before the update. ``loss`` is None, and ``reason`` a sentence, where no update was
    made. ``rows`` of the batch were learnt from; ``labels`` are their pseudo labels, empty for a method without any.
    """

    output: ModelOutput
    loss: float | None = None
    reason: str | None = None
    rows: Sequence[int] = ()
    labels: Sequence[Label] = ()
    queued: int = 0
    signals: Mapping[str, float] = field(default_factory=dict)


class LiveOptimiser(Protocol):
    """What moves `LiveTensors`: `LiveAdam`, `LiveSgd`."""

    def reset(self) -> None:
        """Forget the moments."""

    def step(self, gradients: Sequence[Tensor | None], scale: float = 1.0) -> None:
        """One step at ``scale`` times the learning rate; gradients in the order of ``LiveTensors.values``."""

    def state(self) -> dict[str, Tensor]:
        """Copies of the moments."""

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take what `state` gave."""


class OnlineAdapter(Adapter):
    """Base of methods that learn from every batch as it comes.

    A subclass gives `learn`, and where it keeps more than weights and optimiser moments, `extra_state`, `load_extra`
    and `forget`. What may move is `surface_of`: scale and shift of all normalisation layers unless it says otherwise.
    The model answers inside `answering`, in `step` and `predict` alike; a subclass with another answer says so in
    ``starts_as_source``.
    """

    Settings: ClassVar[type[Config]]
    starts_as_source = True

    def __init__(self, model: FasModel, card: Card, settings: Any, seed: int) -> None:
        self.settings = settings
        self.seed = seed
        self._card = card
        self._model = model.eval().requires_grad_(False)
        self.adapted_parameters = without_frozen(model, self.surface_of(model))
        self._live = LiveTensors(model, self.adapted_parameters)
        self._optimiser = self.optimiser_of(self._live)
        self._step = 0
        self._updates = 0

    @abstractmethod
    def learn(self, batch: Batch) -> Learnt:
        """Answer ``batch`` with the weights as they are, then move them. Must not touch the counters."""

    def surface_of(self, model: FasModel) -> frozenset[str]:
        """Names in ``model.state_dict()`` that may ever change, but for what the model keeps frozen."""
        return norm_names(model)

    def answering(self) -> AbstractContextManager[None]:
        """How the model has to be set while it answers a batch; nothing by default."""
        return nullcontext()

    def optimiser_of(self, live: LiveTensors) -> LiveOptimiser:
        """Adam with the rate and first momentum of the settings."""
        return LiveAdam(live, self.settings.learning_rate, self.settings.momentum)

    def extra_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Copies of further mutable tensors and JSON-safe facts."""
        return {}, {}

    def load_extra(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Take what `extra_state` gave."""

    def forget(self) -> None:
        """Back to the beginning of everything that `extra_state` covers."""

    # -- the contract ------------------------------------------------------------------------------------------------

    def step(self, batch: Batch) -> tuple[Prediction, StepReport]:
        """See `Adapter.step`."""
        start = perf_counter()
        check_batch(batch)
        with self.answering():
            learnt = self.learn(batch)
        made = learnt.reason is None
        report = StepReport(
            step=self._step,
            seen=len(batch),
            accepted=len(learnt.labels),
            accepted_bona_fide=sum(label is Label.BONA_FIDE for label in learnt.labels),
            accepted_attack=sum(label is Label.ATTACK for label in learnt.labels),
            queued=learnt.queued,
            accepted_ids=tuple(batch.ids.capture_id[row] for row in learnt.rows) if learnt.labels else (),
            pseudo_labels=tuple(label.value for label in learnt.labels),
            reliabilities=(None,) * len(learnt.labels),
            updated=made,
            skipped_reason=learnt.reason,
            loss=learnt.loss,
            signals=learnt.signals,
            drift=self._live.drift(),
            seconds=perf_counter() - start,
        )
        self._step += 1
        self._updates += made
        return to_prediction(learnt.output), report

    @torch.no_grad()
    def predict(self, batch: Batch) -> Prediction:
        """See `Adapter.predict`."""
        with self.answering():
            return self._model.predict(batch)

    def reset(self) -> None:
        """See `Adapter.reset`."""
        self._live.restore()
        self._optimiser.reset()
        self.forget()
        self._step, self._updates = 0, 0

    @property
    def model(self) -> FasModel:
        """See `Adapter.model`."""
        return self._model

    def state(self) -> AdapterState:
        """See `Adapter.state`."""
        tensors, facts = self.extra_state()
        own = {
            "method": self.name,
            "settings": self.settings.model_dump(mode="json"),
            "seed": self.seed,
            "step": self._step,
            "updates": self._updates,
        }
        return AdapterState(self._live.state() | self._optimiser.state() | tensors, own | facts)

    def load_state(self, state: AdapterState) -> None:
        """See `Adapter.load_state`."""
        check_facts(state.facts, method=self.name, settings=self.settings.model_dump(mode="json"))
        self._live.check(state.tensors)
        self.reset()
        self._live.load(state.tensors)
        self._optimiser.load(state.tensors)
        self.load_extra(state.tensors, state.facts)
        self._step, self._updates = int(state.facts["step"]), int(state.facts["updates"])
