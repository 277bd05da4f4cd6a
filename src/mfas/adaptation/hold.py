"""Keeps the meaning of the source threshold while weights move: one correction of the fused logit, in its bias.

Ours, no paper's: `docs/methods/mfas_danet.md`, "Threshold".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from math import log, nan

import torch
from pydantic import Field
from torch import Tensor

from mfas.card import Card
from mfas.config import Config
from mfas.core import MODALITIES, format_modalities
from mfas.models.contract import FasModel, ModelOutput

_EDGE = 1e-6


class HoldSettings(Config):
    """Which captures are watched, and how far the correction may go."""

    margin: float = Field(3.0, gt=0, description="logits above the threshold within which a capture is watched")
    window: int = Field(100, ge=1, description="captures watched last")
    least: int = Field(10, ge=1, description="no correction before so many were watched")
    limit: float = Field(3.0, ge=0, description="largest correction in logits; 0 = none")


class ThresholdHold:
    """Watches captures that the *source* model accepts by a small margin; their mean shift is taken from every logit.

    Around the threshold a shift of all scores changes decisions; far from it, it does not. No label is needed: whoever
    the source model accepts narrowly, faces and missed attacks alike, keeps the same mean logit. The correction sits in
    the bias of the fused logit, so that a delta of moved tensors carries it. A model without such a bias
    (`FasModel.score_bias` is None) is not corrected.
    """

    def __init__(self, model: FasModel, card: Card, settings: HoldSettings) -> None:
        name = model.score_bias() if settings.limit else None
        self.names: frozenset[str] = frozenset() if name is None else frozenset({name})
        self._bias = None if name is None else model.state_dict(keep_vars=True)[name]
        self.source: dict[str, Tensor] = {} if name is None else {name: model.state_dict()[name].detach().clone()}
        self._settings = settings
        self._card = card
        self._shifts: deque[float] = deque(maxlen=settings.window)

    @property
    def correction(self) -> float:
        """Live minus source bias, in logits; 0 without a bias."""
        return 0.0 if self._bias is None else float((self._bias.detach() - self._source).item())

    @torch.no_grad()
    def watch(self, live: ModelOutput, reference: ModelOutput) -> None:
        """Learn from one batch: ``live`` is the answer given, ``reference`` the source model's to the same captures."""
        if self._bias is None:
            return
        above = reference.logit - self._thresholds(reference.present).to(reference.logit)
        narrow = (above >= 0) & (above <= self._settings.margin)
        shift = live.logit - self.correction - reference.logit
        self._shifts.extend(shift[narrow].tolist())
        if len(self._shifts) >= self._settings.least:
            mean = sum(self._shifts) / len(self._shifts)
            limit = self._settings.limit
            self._bias.copy_(self._source - min(max(mean, -limit), limit))

    @torch.no_grad()
    def restore(self) -> None:
        """Back to the source, bit for bit."""
        self._shifts.clear()
        if self._bias is not None:
            self._bias.copy_(self._source)

    def state(self) -> dict[str, Tensor]:
        """Copies of the bias and of the shifts watched last."""
        if self._bias is None:
            return {}
        shifts = torch.tensor(list(self._shifts), dtype=torch.float64)
        return {"hold.bias": self._bias.detach().clone(), "hold.shifts": shifts}

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take what `state` gave."""
        self.restore()
        if self._bias is not None and "hold.bias" in tensors:
            self._bias.copy_(tensors["hold.bias"])
            self._shifts.extend(tensors["hold.shifts"].tolist())

    @property
    def _source(self) -> Tensor:
        (value,) = self.source.values()
        return value

    def _thresholds(self, present: Tensor) -> Tensor:
        """Source threshold of each capture's own pattern as a logit ``[B]``, NaN where the card has none."""
        found = []
        for row in present.tolist():
            missing = format_modalities(m for m, seen in zip(MODALITIES, row, strict=True) if not seen)
            p = min(max(self._card.thresholds.get(missing, nan), _EDGE), 1 - _EDGE)
            found.append(log(p / (1 - p)))
        return torch.tensor(found)
