"""Recovery: where nothing is learnt any more, the model goes home to the source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import Field
from torch import Tensor

from mfas.adaptation.contract import Adapter, StepReport
from mfas.adaptation.guards.base import Guard, said
from mfas.adaptation.registry import register
from mfas.config import Config
from mfas.core import Batch, Prediction


class RecoverySettings(Config):
    """``patience``: captures without an update before the first pull; ``pull`` and ``growth`` as in `Recovery`.

    None of them is tuned.
    """

    patience: int = Field(500, ge=1)
    pull: float = Field(0.01, gt=0, le=1)
    growth: float = Field(1.1, gt=1)


@register("recovery")
class Recovery(Guard):
    r"""A pull per step that grows while no update is made, until the parameters are the source's.

    The pull of step $k = 0, 1, \dots$ after ``patience`` captures without an update is $r_k = \min(1, r_0 g^k)$, so the
    drift is $d_0 \prod_{j \le k} (1 - r_j)$, and exactly 0 at the first $k \ge \ln(1 / r_0) / \ln g$ (49 steps with
    the defaults). The inner adapter is then reset, memory included. An update ends the spell; pulls teach nothing, so
    `StepReport.updated` stays false.
    """

    Settings = RecoverySettings
    settings: RecoverySettings

    def __init__(self, inner: Adapter, settings: RecoverySettings) -> None:
        super().__init__(inner, settings)
        self._reset_own()

    def guarded(self, batch: Batch) -> tuple[Prediction, StepReport]:
        """See `Guard.guarded`."""
        prediction, report = self.inner.step(batch)
        if report.updated:
            self._reset_own()
            return prediction, report
        self._idle += len(batch)
        if self._idle <= self.settings.patience or self._live.drift() == 0:
            return prediction, report
        share = min(1.0, self.settings.pull * self.settings.growth**self._pulls)
        self._pulls += 1
        if share < 1:
            self._live.pull(share)
            return prediction, replace(report, guard=said(report, "recovering"))
        self.inner.reset()
        return prediction, replace(report, guard=said(report, "recovered: back at the source"))

    def _own_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return {}, {"idle": self._idle, "pulls": self._pulls}

    def _load_own(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        del tensors
        self._idle, self._pulls = int(facts["idle"]), int(facts["pulls"])

    def _reset_own(self) -> None:
        self._idle, self._pulls = 0, 0
