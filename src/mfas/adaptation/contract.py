"""The Adapter contract: a wrapper that is called like the model and may learn from what it is shown.

Promises, tested for every registered method: the prediction of `Adapter.step` is from before the update; `predict`
changes nothing; `reset` restores the source bit for bit; only `adapted_parameters` ever move; labels never arrive;
state survives being saved and loaded exactly; "no update" is an outcome with a reason.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from torch import Tensor

from mfas.config import Config
from mfas.core import Batch, Prediction
from mfas.models.contract import FasModel

Need = Literal["batch_norm", "lower_norm"]
"""What a method may ask of a model: BatchNorm layers; normalisation layers in its lower part."""


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one batch taught, and why not more.

    ``accepted_ids`` and ``pseudo_labels`` (`Label` values) are the captures that passed the gate *before* quotas;
    ``reliabilities``, one for each of them, say how often such a pseudo label is right at least, by source validation
    (in [0, 1], None where that says nothing). ``queued`` how many entered the memory. ``loss`` is None without an
    update; ``loss_weight`` in [0, 1] multiplies the step. ``signals`` name what moved the weight, or what a guard
    measured. ``skipped_reason`` is None exactly when an update was made and stood; ``guard`` says what guards did
    besides (a pull home may move weights without an update).
    """

    step: int
    seen: int
    accepted: int = 0
    accepted_bona_fide: int = 0
    accepted_attack: int = 0
    queued: int = 0
    accepted_ids: tuple[str, ...] = ()
    pseudo_labels: tuple[str, ...] = ()
    reliabilities: tuple[float | None, ...] = ()
    updated: bool = False
    skipped_reason: str | None = None
    loss: float | None = None
    loss_weight: float | None = None
    signals: Mapping[str, float] = field(default_factory=dict)
    guard: str | None = None
    drift: float = 0.0
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe mapping, one line of ``steps.jsonl``."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class AdapterState:
    """Everything needed to continue exactly: tensors by name, and JSON-safe facts."""

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


class AdaptedModel(ABC):
    """What every method is, whether it learns on the way or from the whole target at once.

    Subclasses set `name`, `Settings` and, where it is so, ``batch_independent = False``. A method that cannot work on
    every model says so in ``needs``; built around one that lacks it, it raises `ConfigError`.
    """

    name: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset()
    Settings: ClassVar[type[Config]] = Config
    batch_independent: bool = True
    starts_as_source: bool = False
    """Whether it is known to answer as the source model does while nothing has moved."""
    rests_when_sure: bool = False
    """Whether a source model that is sure of all it sees leaves the method with nothing to learn."""

    adapted_parameters: frozenset[str]
    """Names in the model's ``state_dict`` that may ever change."""

    @abstractmethod
    def predict(self, batch: Batch) -> Prediction:
        """Score ``batch``; changes nothing, bit for bit."""

    @abstractmethod
    def reset(self) -> None:
        """Return to the exact source state: weights, memory, optimiser, counters."""

    @property
    @abstractmethod
    def model(self) -> FasModel:
        """The wrapped model as it is now."""

    @abstractmethod
    def state(self) -> AdapterState:
        """Snapshot of everything mutable."""

    @abstractmethod
    def load_state(self, state: AdapterState) -> None:
        """Continue from a snapshot; `StateError` when it belongs to another model or method."""

    def delta(self) -> dict[str, Tensor]:
        """The moved tensors only: what a site deploys on top of the source model."""
        own = self.model.state_dict()
        return {name: own[name].detach().clone() for name in sorted(self.adapted_parameters)}


class Adapter(AdaptedModel):
    """Base of every method that learns from a stream as it comes."""

    @abstractmethod
    def step(self, batch: Batch) -> tuple[Prediction, StepReport]:
        """Score ``batch`` with the weights as they are, then learn from it if the evidence allows."""
