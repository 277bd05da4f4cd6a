"""A small labelled set that a guard holds, and what an adapter makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from mfas.core import Batch, Label, Prediction
from mfas.errors import ConfigError


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """Captures with labels that are configuration, never part of the stream.

    ``labels`` and ``species`` (``""`` for bona fide, ``unknown`` where not told) have one entry per capture, in the
    order of ``batches``. ``threshold`` in [0, 1] is the operating threshold; ``digest`` tells two sets apart. Raises
    `ConfigError` unless both classes are there.
    """

    batches: tuple[Batch, ...]
    labels: tuple[Label, ...]
    species: tuple[str, ...]
    threshold: float
    digest: str

    def __post_init__(self) -> None:
        missing = [label.value for label in Label if label not in self.labels]
        if missing:
            raise ConfigError(f"expected a canary with captures of both classes, got none of {' and '.join(missing)}")


LoadLabelled = Callable[[Path], LabelledSet]
"""Reads the manifest that a guard's settings name."""


@dataclass(frozen=True, slots=True)
class Measure:
    """Fractions of captures: ``bpcer``, ``apcer`` (of the worst species); ``loss`` in nats, mean of both classes."""

    bpcer: float
    apcer: float
    loss: float

    def signals(self) -> Mapping[str, float]:
        """As entries of `StepReport.signals`."""
        return {"canary_bpcer": self.bpcer, "canary_apcer": self.apcer, "canary_loss": self.loss}


def measure(predict: Callable[[Batch], Prediction], known: LabelledSet) -> Measure:
    """Score ``known`` and compare with its labels at its threshold; scores that are not finite count as errors."""
    score = torch.cat([predict(batch).score for batch in known.batches]).double().nan_to_num(nan=-1.0)
    genuine = torch.tensor([label is Label.BONA_FIDE for label in known.labels])
    finite = score >= 0
    accepted = score >= known.threshold
    wrong = ~finite | (accepted != genuine)
    by_species: dict[str, list[bool]] = {}
    for name, is_wrong, is_genuine in zip(known.species, wrong.tolist(), genuine.tolist(), strict=True):
        if not is_genuine:
            by_species.setdefault(name, []).append(is_wrong)
    right = torch.where(genuine, score, 1 - score) * finite
    nats = -right.clamp_min(1e-6).log()
    return Measure(
        bpcer=float(wrong[genuine].double().mean()),
        apcer=max(sum(errors) / len(errors) for errors in by_species.values()),
        loss=float((nats[genuine].mean() + nats[~genuine].mean()) / 2),
    )
