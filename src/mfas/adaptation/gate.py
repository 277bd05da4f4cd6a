"""The evidence gate: which captures may teach, and what.

Heads of *observed, unenhanced* features vote; complements never do. At least two witnesses must agree. Dissent always
blocks a bona fide label; whether it blocks an attack label too is a setting, since a mask has the relief of a face and
a depth head is right to find one (`docs/methods/mfas_danet.md`, "Evidence"). Entropy limits are fractions of ln 2. What
the heads say comes from one of three estimators (`mfas.models.estimators`), always of the frozen source model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from mfas.card import Card
from mfas.config import Config
from mfas.core import MODALITIES, Batch, Label, format_modalities
from mfas.errors import ConfigError
from mfas.models.contract import ModelOutput
from mfas.models.estimators import EntropyEstimator, Estimate, Estimator, TwoParts, estimate


class GateSettings(Config):
    """Limits of the gate, chosen on ``dev_a`` and ``dev_b`` (`docs/experiments/gate.md`).

    ``max_entropy_fraction`` of ln 2 bounds the entropy of the weighted mean vote (0.2 is a probability of 0.97).
    A head votes for a class from ``min_vote`` and dissents from ``min_dissent``, both probabilities in [0.5, 1).
    With ``seen_by_two`` a capture is an attack as soon as ``min_witnesses`` heads see one with that probability,
    whatever the others say; None asks for no dissent there too.

    With ``limits: source`` the first three come from source validation instead: each is set so that a share
    ``quantile`` of the living faces decided rightly there would pass it (`GateEvidence.quantiles`). Models differ in
    how sure their heads are: fixed limits fit one and starve another. A card without evidence leaves the fixed ones.
    """

    max_entropy_fraction: float = Field(0.2, gt=0, le=1)
    min_vote: float = Field(0.8, ge=0.5, lt=1)
    min_dissent: float = Field(0.7, ge=0.5, lt=1)
    min_witnesses: int = Field(2, ge=1, le=3)
    seen_by_two: float | None = Field(0.7, ge=0.5, lt=1)
    estimator: Estimator = EntropyEstimator()
    limits: Literal["fixed", "source"] = "source"
    quantile: float = Field(0.5, gt=0, lt=1)

    @model_validator(mode="after")
    def _heard(self) -> GateSettings:
        for name in ("max_entropy_fraction", "min_vote", "min_dissent"):
            given, usual = getattr(self, name), type(self).model_fields[name].default
            if self.limits == "source" and given != usual:
                raise ValueError(f"expected limits: fixed beside {name} {given}, got limits: source, which replaces it")
        return self


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits in force, in the units of `GateSettings`."""

    max_entropy_fraction: float
    min_vote: float
    min_dissent: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Per capture: ``accept`` bool ``[B]``, ``bona_fide`` bool ``[B]`` (the pseudo label), ``uncertainty`` ``[B]``.

    ``reliability`` ``[B]`` is raw, 1 - ``uncertainty``; ``present`` bool ``[B, 3]``.
    """

    accept: Tensor
    bona_fide: Tensor
    uncertainty: Tensor
    reliability: Tensor
    present: Tensor


class Gate:
    """Votes of observed heads, each centred on its own equal-error point on source validation (``card.gate``)."""

    def __init__(self, settings: GateSettings, card: Card) -> None:
        self.settings = settings
        self.limits = limits_of(settings, card)
        self._centre = torch.tensor([card.gate.get(f"centre.{m.value}", 0.0) for m in MODALITIES])
        same = card.evidence is not None and card.evidence.gate == settings.model_dump(mode="json")
        self._evidence = card.evidence if same else None

    def judge(self, output: ModelOutput, frozen: TwoParts | None = None, batch: Batch | None = None) -> Verdict:
        """Decide for every capture of an output of the source model, each on its own.

        ``frozen`` is that model and ``batch`` what it was shown: needed by estimators that look more than once.
        """
        return self.decide(self.estimate(output, frozen, batch), output.present)

    def estimate(self, output: ModelOutput, frozen: TwoParts | None = None, batch: Batch | None = None) -> Estimate:
        """What the centred heads say, by the estimator of the settings."""
        return estimate(self.settings.estimator, output, self._centre, frozen, batch)

    def decide(self, found: Estimate, present: Tensor) -> Verdict:
        """Apply the limits; ``present`` bool ``[B, 3]``."""
        s, limits, p, assessment = self.settings, self.limits, found.scores, found.assessment
        bona_fide = assessment.mean >= 0.5
        for_class = torch.where(bona_fide[:, None], p, 1 - p)
        agree = ((for_class >= limits.min_vote) & present).sum(dim=1)
        dissent = ((1 - for_class >= limits.min_dissent) & present).any(dim=1)
        sure = assessment.uncertainty <= limits.max_entropy_fraction
        accept = sure & (agree >= s.min_witnesses) & ~dissent
        if s.seen_by_two is not None:
            seen = (((1 - p) >= s.seen_by_two) & present).sum(dim=1) >= s.min_witnesses
            accept, bona_fide = seen | (accept & bona_fide), bona_fide & ~seen
        return Verdict(
            accept=accept,
            bona_fide=bona_fide,
            uncertainty=assessment.uncertainty,
            reliability=assessment.reliability,
            present=present,
        )

    def claims(self, verdict: Verdict, rows: Sequence[int]) -> list[float | None]:
        """Calibrated reliability of the captures at ``rows``, each accepted; None where the card knows nothing.

        A card whose gate was measured with other settings knows nothing about this one.
        """
        if self._evidence is None:
            return [None] * len(rows)
        out = []
        for row in rows:
            missing = format_modalities(m for k, m in enumerate(MODALITIES) if not bool(verdict.present[row, k]))
            label = Label.BONA_FIDE if bool(verdict.bona_fide[row]) else Label.ATTACK
            out.append(self._evidence.claim(missing, label.value, float(verdict.reliability[row])))
        return out


def limits_of(settings: GateSettings, card: Card) -> Limits:
    """The limits of ``settings``, read from the card if they ask for it; `ConfigError` if it has none that fit."""
    found = card.evidence
    if settings.limits == "fixed" or found is None:
        return Limits(settings.max_entropy_fraction, settings.min_vote, settings.min_dissent)
    wanted = settings.model_dump(mode="json")
    same = all(found.gate.get(key) == wanted[key] for key in ("estimator", "min_witnesses"))
    if not found.quantiles or not same:
        raise ConfigError(
            "gate.limits: expected a model card with quantiles for this estimator and min_witnesses, got none "
            "(train with the same gate)"
        )

    def quantile(name: str, share: float) -> float:
        values = found.quantiles[name]
        return float(np.interp(share, np.linspace(0, 1, len(values)), values))

    def probability(value: float) -> float:
        return min(max(value, 0.5), _BELOW_ONE)

    return Limits(
        max_entropy_fraction=quantile("entropy", settings.quantile),
        min_vote=probability(quantile("vote", 1 - settings.quantile)),
        min_dissent=probability(quantile("dissent", settings.quantile)),
    )


_BELOW_ONE = 1 - 1e-6
"""A vote that a float can still reach."""
