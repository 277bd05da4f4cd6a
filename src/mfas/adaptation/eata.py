"""EATA (Niu et al., ICML 2022): only reliable, non-redundant captures teach, and what mattered is held in place.

What differs with one logit, two classes, missing modalities and without source data: `docs/methods/eata.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize, softplus

from mfas.adaptation.live import NOT_FINITE, LiveTensors, finite
from mfas.adaptation.live_sgd import LiveSgd
from mfas.adaptation.norm_method import UNRELIABLE, NormMethod
from mfas.adaptation.online import Learnt, LiveOptimiser
from mfas.adaptation.registry import register
from mfas.adaptation.tent import entropy
from mfas.config import Config
from mfas.core import MODALITIES, Batch
from mfas.models.contract import ModelOutput

REDUNDANT = "every reliable capture is redundant"
"""Why no update was made where only the second filter left nothing."""
COLLECTING = "collecting the Fisher information at the source weights"
"""Why no update is made at the beginning of a stream."""

Compared = Literal["features", "probabilities", "off"]


class EataSettings(Config):
    """As published for ImageNet-C but for the redundancy filter and the Fisher captures (`docs/methods/eata.md`)."""

    learning_rate: float = Field(2.5e-4, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    max_entropy_fraction: float = Field(0.4, gt=0, le=1, description="of ln 2; captures above do not teach")
    redundancy: Compared = Field("features", description="what is compared with the average of what has taught")
    max_similarity: float = Field(0.8, gt=0, le=1, description="cosine; captures at or above it do not teach")
    decay: float = Field(0.9, ge=0, lt=1, description="of that average")
    fisher_weight: float = Field(2000.0, ge=0, description="0 = no anti-forgetting (the paper's ETA)")
    fisher_captures: int = Field(64, ge=1, description="reliable captures that the Fisher information is taken from")


def weighted_entropy(uncertain: Tensor, limit: float) -> Tensor:
    r"""Mean of $e^{E_0 - H_i} H_i$ over entropies ``[n]`` in nats, n > 0, the weight held constant; $E_0$ = ``limit``.

    >>> weighted_entropy(torch.tensor([0.0, 0.2]), 0.2).item()
    0.10000000149011612
    """
    return (torch.exp(limit - uncertain.detach()) * uncertain).mean()


def describe(output: ModelOutput, compared: Compared) -> tuple[Tensor, Tensor]:
    """What the redundancy filter compares, ``[B, D]``, and which of it a capture has, bool of the same shape.

    ``features``: every observed modality's feature at length 1, side by side. ``probabilities``: of the two classes.
    """
    if compared == "features":
        parts = [normalize(output.features[m].detach(), dim=1) for m in MODALITIES]
        owned = [output.present[:, k : k + 1].expand_as(part) for k, part in enumerate(parts)]
        has = torch.cat(owned, dim=1)
        return torch.cat(parts, dim=1) * has, has
    p = torch.sigmoid(output.logit.detach())
    both = torch.stack([p, 1 - p], dim=1)
    return both, torch.ones_like(both, dtype=torch.bool)


@register("eata")
class Eata(NormMethod):
    """One gradient step per batch on what passes both filters; scale and shift of the norms move."""

    Settings = EataSettings
    settings: EataSettings
    _average: Tensor | None = None
    _squares: dict[str, Tensor] | None = None
    _counted: int = 0

    def optimiser_of(self, live: LiveTensors) -> LiveOptimiser:
        """See `OnlineAdapter.optimiser_of`."""
        return LiveSgd(live, self.settings.learning_rate, self.settings.momentum)

    def learn(self, batch: Batch) -> Learnt:
        """See `OnlineAdapter.learn`."""
        s = self.settings
        limit = s.max_entropy_fraction * log(2)
        with self.learning():
            output = self._model(batch)
            uncertain = entropy(output.logit)
            reliable = (uncertain.detach() < limit).nonzero().flatten()
            if s.fisher_weight and self._counted < s.fisher_captures:
                self._collect(output.logit, reliable.tolist())
                return Learnt(output, reason=COLLECTING)
            if not len(reliable):
                return Learnt(output, reason=UNRELIABLE)
            described, has = describe(output, s.redundancy)
            rows = reliable[self._new(described[reliable], has[reliable])]
            if not len(rows):
                return Learnt(output, reason=REDUNDANT)
            loss = weighted_entropy(uncertain[rows], limit) + self._forgetting()
            gradients = self.slopes(loss)
        amount = float(loss.detach())
        if not finite(amount, gradients):
            return Learnt(output, reason=NOT_FINITE)
        self._optimiser.step(gradients)
        mean = described[rows].mean(dim=0)
        self._average = mean if self._average is None else s.decay * self._average + (1 - s.decay) * mean
        signals = {"reliable": len(reliable) / len(batch), "teaching": len(rows) / len(batch)}
        return Learnt(output, amount, rows=rows.tolist(), signals=signals)

    def extra_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """See `OnlineAdapter.extra_state`."""
        tensors = {f"eata.squares.{name}": value.clone() for name, value in (self._squares or {}).items()}
        if self._average is not None:
            tensors["eata.average"] = self._average.clone()
        return tensors, {"fisher_captures": self._counted}

    def load_extra(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """See `OnlineAdapter.load_extra`."""
        self._counted = int(facts["fisher_captures"])
        self._average = tensors["eata.average"].clone() if "eata.average" in tensors else None
        if self._counted:
            self._squares = {name: tensors[f"eata.squares.{name}"].clone() for name in self._live.values}

    def forget(self) -> None:
        """See `OnlineAdapter.forget`."""
        self._average, self._squares, self._counted = None, None, 0

    def _new(self, described: Tensor, has: Tensor) -> Tensor:
        """Bool ``[n]``: unlike the average of what has taught, as far as a capture can be compared with it."""
        if self._average is None or self.settings.redundancy == "off":
            return torch.ones(len(described), dtype=torch.bool)
        similar = torch.cosine_similarity(described, self._average * has, dim=1)
        return similar < self.settings.max_similarity

    def _collect(self, logit: Tensor, rows: list[int]) -> None:
        """Add the squared gradient of each row's cross-entropy with its own label, as many as are still wanted."""
        for row in rows[: self.settings.fisher_captures - self._counted]:
            gradients = self.slopes(softplus(-logit[row].abs()), keep_graph=True)
            if not finite(0.0, gradients):
                continue
            if self._squares is None:
                self._squares = {name: torch.zeros_like(value) for name, value in self._live.source.items()}
            for square, gradient in zip(self._squares.values(), gradients, strict=True):
                if gradient is not None:
                    square.add_(gradient.square())
            self._counted += 1

    def _forgetting(self) -> Tensor:
        """Fisher-weighted squared distance from the source."""
        total = torch.zeros(())
        for name, square in (self._squares or {}).items():
            moved = self._live.values[name] - self._live.source[name]
            total = total + (square / self._counted * moved.square()).sum()
        return self.settings.fisher_weight * total
