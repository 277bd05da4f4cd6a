"""The evidence gate: which captures may teach, and what.

Heads of *observed, unenhanced* features vote; complements never do. At least two witnesses must agree. Dissent always
blocks a bona fide label; whether it blocks an attack label too is a setting, since a mask has the relief of a face and
a depth head is right to find one (`docs/methods/mfas_danet.md`, "Evidence"). Entropy limits are fractions of ln 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor

from mfas.card import Card
from mfas.config import Config
from mfas.core import MODALITIES
from mfas.models.contract import ModelOutput
from mfas.models.uncertainty import assess


class GateSettings(Config):
    """Limits of the gate, chosen on ``dev_a`` and ``dev_b`` (`docs/experiments/gate.md`).

    ``max_entropy_fraction`` of ln 2 bounds the entropy of the weighted mean vote (0.2 is a probability of 0.97).
    A head votes for a class from ``min_vote`` and dissents from ``min_dissent``, both probabilities in [0.5, 1).
    With ``seen_by_two`` a capture is an attack as soon as ``min_witnesses`` heads see one with that probability,
    whatever the others say; None asks for no dissent there too.
    """

    max_entropy_fraction: float = Field(0.2, gt=0, le=1)
    min_vote: float = Field(0.8, ge=0.5, lt=1)
    min_dissent: float = Field(0.7, ge=0.5, lt=1)
    min_witnesses: int = Field(2, ge=1, le=3)
    seen_by_two: float | None = Field(0.7, ge=0.5, lt=1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Per capture: ``accept`` bool ``[B]``, ``bona_fide`` bool ``[B]`` (the pseudo label), ``uncertainty`` ``[B]``."""

    accept: Tensor
    bona_fide: Tensor
    uncertainty: Tensor
    observed: Tensor


class Gate:
    """Votes of observed heads, each centred on its own equal-error point on source validation (``card.gate``)."""

    def __init__(self, settings: GateSettings, card: Card) -> None:
        self.settings = settings
        self._centre = torch.tensor([card.gate.get(f"centre.{m.value}", 0.0) for m in MODALITIES])

    def judge(self, output: ModelOutput) -> Verdict:
        """Decide for every capture of an output, each on its own."""
        s, present = self.settings, output.present
        p = torch.sigmoid(output.modality_logits.detach() - self._centre.to(output.logit))
        assessment = assess(p, present)
        bona_fide = assessment.mean >= 0.5
        for_class = torch.where(bona_fide[:, None], p, 1 - p)
        agree = ((for_class >= s.min_vote) & present).sum(dim=1)
        dissent = ((1 - for_class >= s.min_dissent) & present).any(dim=1)
        sure = assessment.uncertainty <= s.max_entropy_fraction
        accept = sure & (agree >= s.min_witnesses) & ~dissent
        if s.seen_by_two is not None:
            seen = (((1 - p) >= s.seen_by_two) & present).sum(dim=1) >= s.min_witnesses
            accept, bona_fide = seen | (accept & bona_fide), bona_fide & ~seen
        return Verdict(
            accept=accept,
            bona_fide=bona_fide,
            uncertainty=assessment.uncertainty,
            observed=present.sum(dim=1),
        )
