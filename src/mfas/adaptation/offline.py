"""Methods that learn from the whole target at once, in many passes: transductive, and compared as such.

Every capture of the target may teach before any of them is scored, so a score is *not* from before the update. What
holds is the rest: no label of the target arrives, only declared parameters move, `reset` is exact, a state is whole.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any, ClassVar, overload

import torch
from pydantic import Field
from torch import Tensor

from mfas.adaptation.contract import AdaptedModel, AdapterState
from mfas.adaptation.live import LiveTensors, check_facts
from mfas.adaptation.pool import CapturePool, LabelledPool
from mfas.adaptation.surface import without_frozen
from mfas.card import Card
from mfas.config import Config
from mfas.core import Batch, Prediction
from mfas.errors import ConfigError, InputError
from mfas.models.contract import FasModel


class OfflineSettings(Config):
    """What every offline method can be told."""

    passes: int = Field(10, ge=1, description="over the target")
    batch_size: int = Field(16, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1, description="of gradient descent")


@dataclass(frozen=True, slots=True)
class LabelledBatch:
    """Captures of the source with their classes: ``genuine`` bool ``[B]``, true = bona fide."""

    batch: Batch
    genuine: Tensor

    def __post_init__(self) -> None:
        if self.genuine.shape != (len(self.batch),) or self.genuine.dtype != torch.bool:
            raise InputError(f"expected classes as bool [{len(self.batch)}], got {tuple(self.genuine.shape)}")


class _Unlabelled(Sequence[Batch]):
    """The batches of labelled ones, made when they are asked for."""

    def __init__(self, labelled: Sequence[LabelledBatch]) -> None:
        self._labelled = labelled

    def __len__(self) -> int:
        return len(self._labelled)

    @overload
    def __getitem__(self, index: int) -> Batch: ...
    @overload
    def __getitem__(self, index: slice) -> list[Batch]: ...
    def __getitem__(self, index: int | slice) -> Batch | list[Batch]:
        if isinstance(index, slice):
            return [some.batch for some in self._labelled[index]]
        return self._labelled[index].batch


@dataclass(frozen=True, slots=True)
class FitReport:
    """What a fit did. ``losses`` is the mean per pass; ``skipped`` counts steps whose gradients were not finite."""

    captures: int
    source_captures: int
    steps: int
    skipped: int
    losses: tuple[float, ...]
    signals: Mapping[str, float] = field(default_factory=dict)
    drift: float = 0.0
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe mapping."""
        return asdict(self)


@dataclass(slots=True)
class Course:
    """What `OfflineAdapter.learn` fills in on its way."""

    steps: int = 0
    skipped: int = 0
    losses: list[float] = field(default_factory=list)
    signals: dict[str, float] = field(default_factory=dict)


class OfflineAdapter(AdaptedModel):
    """Base of offline methods. A subclass gives `surface_of` and `learn`; further mutable state as `OnlineAdapter`."""

    transductive: ClassVar[bool] = True
    needs_source: ClassVar[bool] = False
    """Whether `fit` must be given labelled captures of the source."""
    Settings: ClassVar[type[Config]]

    def __init__(self, model: FasModel, card: Card, settings: Any, seed: int) -> None:
        self.settings = settings
        self.seed = seed
        self._card = card
        self._model = model.eval().requires_grad_(False)
        self.adapted_parameters = without_frozen(model, self.surface_of(model))
        self._live = LiveTensors(model, self.adapted_parameters)
        self._fitted = False

    @abstractmethod
    def surface_of(self, model: FasModel) -> frozenset[str]:
        """Names in ``model.state_dict()`` that may ever change, but for what the model keeps frozen."""

    @abstractmethod
    def learn(self, target: CapturePool, source: LabelledPool | None, course: Course) -> None:
        """Move the live tensors, which stand at the source; ``source`` is there exactly if `needs_source`."""

    def extra_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Copies of further mutable tensors and JSON-safe facts."""
        return {}, {}

    def load_extra(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Take what `extra_state` gave."""

    def forget(self) -> None:
        """Back to the beginning of everything that `extra_state` covers."""

    # -- the contract ------------------------------------------------------------------------------------------------

    def fit(self, target: Sequence[Batch], source: Sequence[LabelledBatch] | None = None) -> FitReport:
        """Learn from ``target``, from the source model on: a second fit does not build on the first.

        Both sequences may be lazy; their batches are asked for by index, many times. Raises `InputError` for an empty
        target or one with labels, and for source captures that the method lacks or must not have. After an error the
        source model stands.
        """
        start = perf_counter()
        self._check(target, source)
        self.reset()
        spec = self._model.spec
        pool = CapturePool(target, spec)
        known = None
        if source is not None:
            genuine = torch.cat([some.genuine for some in source])
            known = LabelledPool(CapturePool(_Unlabelled(source), spec), genuine)
        course = Course()
        try:
            self.learn(pool, known, course)
        except BaseException:
            self.reset()
            raise
        self._fitted = True
        return FitReport(
            captures=len(pool),
            source_captures=0 if known is None else len(known.genuine),
            steps=course.steps,
            skipped=course.skipped,
            losses=tuple(course.losses),
            signals=course.signals,
            drift=self._live.drift(),
            seconds=perf_counter() - start,
        )

    @property
    def source_captures(self) -> int:
        """How many labelled captures of the source `fit` is to be given at most; 0 = it takes none."""
        return 0

    @property
    def fitted(self) -> bool:
        """Whether `fit` has come to its end, and `reset` not been called since."""
        return self._fitted

    @torch.no_grad()
    def predict(self, batch: Batch) -> Prediction:
        """See `AdaptedModel.predict`."""
        return self._model.predict(batch)

    def reset(self) -> None:
        """See `AdaptedModel.reset`."""
        self._live.restore()
        self.forget()
        self._fitted = False

    @property
    def model(self) -> FasModel:
        """See `AdaptedModel.model`."""
        return self._model

    def state(self) -> AdapterState:
        """See `AdaptedModel.state`."""
        tensors, facts = self.extra_state()
        return AdapterState(self._live.state() | tensors, self._identity() | {"fitted": self._fitted} | facts)

    def load_state(self, state: AdapterState) -> None:
        """See `AdaptedModel.load_state`."""
        check_facts(state.facts, **self._identity())
        self._live.check(state.tensors)
        self.reset()
        self._live.load(state.tensors)
        self.load_extra(state.tensors, state.facts)
        self._fitted = bool(state.facts["fitted"])

    def _identity(self) -> dict[str, Any]:
        return {"method": self.name, "settings": self.settings.model_dump(mode="json")}

    def _check(self, target: Sequence[Batch], source: Sequence[LabelledBatch] | None) -> None:
        if not len(target):
            raise InputError("expected captures of the target to fit on, got none")
        if any(not isinstance(some, Batch) for some in target):
            raise InputError("expected batches of the target without labels, got another kind")
        if self.needs_source and not source:
            raise ConfigError(f"expected labelled captures of the source for '{self.name}', got none")
        if not self.needs_source and source is not None:
            raise ConfigError(f"expected no source captures for '{self.name}', which is source-free, got some")
