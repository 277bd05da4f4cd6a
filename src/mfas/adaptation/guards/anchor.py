"""The anchor: whatever the gradients are, the adapted parameters stay near the source."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite

from pydantic import Field, model_validator

from mfas.adaptation.contract import StepReport
from mfas.adaptation.guards.base import Guard, said, undone
from mfas.adaptation.live import drift_bound
from mfas.adaptation.registry import register
from mfas.config import Config
from mfas.core import Batch, Prediction


class AnchorSettings(Config):
    """``pull``: share of the way back per update. ``radius``: largest drift, see `Anchor`.

    Neither is tuned: the scales of normalisation layers start at 1, so 0.1 lets them change by a tenth.
    """

    pull: float = Field(0.01, ge=0, lt=1)
    radius: float | None = Field(0.1, gt=0)

    @model_validator(mode="after")
    def _holds(self) -> AnchorSettings:
        if not self.pull and self.radius is None:
            raise ValueError("expected a pull above 0 or a radius, got neither")
        return self


@register("anchor")
class Anchor(Guard):
    r"""After every update of the inner adapter a pull towards the source, then a projection on a ball around it.

    Closed-form bound for any gradients, in root mean square over all adapted parameters together: if one update moves
    at most $s$, then drift $\le \min(s (1 - \rho) / \rho,\; R)$, $\rho$ = ``pull``, $R$ = ``radius`` (see
    `mfas.adaptation.live.drift_bound`). The projection needs no knowledge of $s$, is made after every step, updated or
    not, and holds up to float32 rounding. Parameters that are no longer finite are answered by a reset.
    """

    Settings = AnchorSettings
    settings: AnchorSettings

    def guarded(self, batch: Batch) -> tuple[Prediction, StepReport]:
        """See `Guard.guarded`."""
        prediction, report = self.inner.step(batch)
        if not isfinite(self._live.drift()):
            self.inner.reset()
            return prediction, undone(report, "reset: parameters not finite")
        if report.updated:
            self._live.pull(self.settings.pull)
        if self.settings.radius is not None and self._live.project(self.settings.radius):
            report = replace(report, guard=said(report, "projected"))
        return prediction, report

    def bound(self, step: float) -> float:
        """Largest possible drift when one update of the inner adapter moves at most ``step`` (root mean square)."""
        return drift_bound(step, self.settings.pull, self.settings.radius)
