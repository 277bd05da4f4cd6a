"""The canary: labelled captures of its own are scored after updates; an update that made them worse is undone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field
from torch import Tensor

from mfas.adaptation.contract import Adapter, AdapterState, StepReport
from mfas.adaptation.guards.base import Guard, part, undone
from mfas.adaptation.guards.labelled import LoadLabelled, Measure, measure
from mfas.adaptation.registry import register
from mfas.config import Config
from mfas.core import Batch, Prediction

_LOSS_SLACK = 0.01
"""Nats that the loss may rise in any case: a share of a source loss near 0 would forbid every update."""


class CanarySettings(Config):
    """``manifest`` names the canary: labelled captures of a source or of the site, none of them in the stream.

    BPCER and APCER (of the worst species), fractions of captures at the source threshold, may each exceed the source
    model's by ``tolerance``; the loss may by the share ``loss_share`` and 0.01 nats (None: not looked at). Checked
    after every ``every`` updates. ``strikes`` rollbacks in a row stop learning for ``cool_down`` steps. None of the
    defaults is tuned.
    """

    manifest: Path
    every: int = Field(1, ge=1)
    tolerance: float = Field(0.02, ge=0, le=1)
    loss_share: float | None = Field(0.5, ge=0)
    strikes: int = Field(3, ge=1)
    cool_down: int = Field(100, ge=1)


@register("canary")
class Canary(Guard):
    """Rolls the inner adapter back, memory and optimiser included, to its state at the last check that was passed.

    It can only see what its captures show. With ``every`` = 1 no unchecked weights ever score the stream.
    """

    Settings = CanarySettings
    settings: CanarySettings
    needs_labelled = True
    _good: AdapterState
    _unchecked: int
    _strikes: int
    _cooling: int

    def __init__(self, inner: Adapter, settings: CanarySettings, load: LoadLabelled) -> None:
        super().__init__(inner, settings)
        self._known = load(settings.manifest)
        self.at_source = measure(inner.predict, self._known)
        self._reset_own()

    def guarded(self, batch: Batch) -> tuple[Prediction, StepReport]:
        """See `Guard.guarded`."""
        if self._cooling:
            prediction = self.inner.predict(batch)
            self._cooling -= 1
            words = "cooling down"
            return prediction, StepReport(self._step, len(batch), skipped_reason=words, guard=words)
        prediction, report = self.inner.step(batch)
        self._unchecked += report.updated
        if self._unchecked < self.settings.every:
            return prediction, report
        self._unchecked = 0
        now = measure(self.inner.predict, self._known)
        report = replace(report, signals={**report.signals, **now.signals()})
        worse = self._worse(now)
        if worse is None:
            self._good = self.inner.state()
            self._strikes = 0
            return prediction, report
        self._roll_back()
        return prediction, undone(report, f"rolled back: {worse} worse on the canary")

    def _worse(self, now: Measure) -> str | None:
        """Which figure went too far, if any."""
        s, source = self.settings, self.at_source
        if now.bpcer > source.bpcer + s.tolerance:
            return "BPCER"
        if now.apcer > source.apcer + s.tolerance:
            return "APCER"
        if s.loss_share is not None and now.loss > source.loss * (1 + s.loss_share) + _LOSS_SLACK:
            return "loss"
        return None

    def _roll_back(self) -> None:
        self.inner.load_state(self._good)
        self._strikes += 1
        if self._strikes == self.settings.strikes:
            self._strikes = 0
            self._cooling = self.settings.cool_down

    def _belongs(self) -> dict[str, Any]:
        settings = self.settings.model_dump(mode="json", exclude={"manifest"})
        return {"method": self.name, "settings": settings, "canary": self._known.digest}

    def _own_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {f"good.{name}": value for name, value in self._good.tensors.items()}
        counts = {"unchecked": self._unchecked, "strikes": self._strikes, "cooling": self._cooling}
        return tensors, {**counts, "good": self._good.facts}

    def _load_own(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        self._good = AdapterState(part(tensors, "good."), facts["good"])
        self._unchecked = int(facts["unchecked"])
        self._strikes = int(facts["strikes"])
        self._cooling = int(facts["cooling"])

    def _reset_own(self) -> None:
        self._good = self.inner.state()
        self._unchecked = 0
        self._strikes = 0
        self._cooling = 0
