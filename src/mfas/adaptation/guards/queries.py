"""Queries: while a stream looks like somebody feeling for the model, it is answered and nothing is learnt from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from mfas.adaptation.contract import Adapter, StepReport
from mfas.adaptation.guards.base import Guard, said
from mfas.adaptation.query_stream import DetectorSettings, nearest, outside, span, watch
from mfas.adaptation.registry import register
from mfas.core import Batch, Prediction

WAITING = "traffic of this site not known yet"
RESTING = "queries unlike this site's traffic"


class QueriesSettings(DetectorSettings):
    """A window and what is unsure, as for the detector of `mfas audit steal`; more ``slack``, see `docs/adapting.md`.

    Limits come from the first ``calibrate`` windows of the site; ``rest`` windows after an alarm teach nothing.
    Distances are taken to the latest ``memory`` captures.
    """

    slack: float = Field(1.0, ge=0, description="beyond the extremes of known windows, as a share of their spread")
    calibrate: int = Field(6, ge=2)
    rest: int = Field(4, ge=1)
    memory: int = Field(500, ge=1)


@register("queries")
class Queries(Guard):
    """Two statistics of each window against those of the site's first ones (`mfas.adaptation.query_stream`).

    Nothing is learnt until the limits are known, nor during ``rest`` windows after one that left them; predictions go
    on. An alarm is raised when its window is full, so a thief teaches at most one window before it. A thief who comes
    first sets the limits: calibrate on traffic that is watched. One more forward pass for each batch.
    """

    Settings = QueriesSettings
    settings: QueriesSettings

    def __init__(self, inner: Adapter, settings: QueriesSettings) -> None:
        super().__init__(inner, settings)
        self._features, self._open, self._known, self._resting = _nothing()

    def guarded(self, batch: Batch) -> tuple[Prediction, StepReport]:
        """See `Guard.guarded`."""
        why = WAITING if len(self._known) < self.settings.calibrate else RESTING if self._resting else None
        if why is None:
            prediction, report = self.inner.step(batch)
        else:
            prediction = self.inner.predict(batch)
            report = StepReport(self._step, len(batch), skipped_reason=why, guard=why)
        alarm = self._note(batch)
        return prediction, replace(report, guard=said(report, alarm)) if alarm else report

    def _note(self, batch: Batch) -> str | None:
        """Add the captures to the open window; the alarm of a window that was filled by them, if it raised one."""
        seen = watch(self.inner.model, [batch])
        joined = torch.cat([self._features, seen.feature]) if len(self._features) else seen.feature
        distance = nearest(joined, len(self._features))
        self._features = joined[-self.settings.memory :]
        unsure = (seen.entropy > self.settings.unsure).double()
        self._open = torch.cat([self._open, torch.stack([unsure, distance], dim=1)])
        alarm = None
        while len(self._open) >= self.settings.window:
            full, self._open = self._open[: self.settings.window], self._open[self.settings.window :]
            alarm = self._judge(full) or alarm
        return alarm

    def _judge(self, window: Tensor) -> str | None:
        found = torch.stack([window[:, 0].mean(), window[:, 1].nanmedian()])
        if len(self._known) < self.settings.calibrate:
            self._known = torch.cat([self._known, found[None]])
            return None
        limits = [span(column, self.settings.slack) for column in self._known.T]
        names = ("unsure queries", "distance of queries")
        left = [n for n, x, limit in zip(names, found, limits, strict=True) if bool(outside(x, limit))]
        self._resting = self.settings.rest if left else max(0, self._resting - 1)
        return f"alarm: {' and '.join(left)}" if left else None

    def _own_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return {"features": self._features, "open": self._open, "known": self._known}, {"resting": self._resting}

    def _load_own(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        self._features, self._open, self._known = (tensors[name].clone() for name in ("features", "open", "known"))
        self._resting = int(facts["resting"])

    def _reset_own(self) -> None:
        self._features, self._open, self._known, self._resting = _nothing()


def _nothing() -> tuple[Tensor, Tensor, Tensor, int]:
    """Features ``[N, D]``, captures of the open window and known windows ``[N, 2]`` each, windows still to rest."""
    return torch.zeros(0, 0), torch.zeros(0, 2, dtype=torch.float64), torch.zeros(0, 2, dtype=torch.float64), 0
