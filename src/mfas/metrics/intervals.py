"""Confidence intervals: bootstrap over subjects, and Clopper-Pearson beside it.

Presentations of one person are not independent, so the bootstrap draws *subjects*, then presentations inside them.
Where subjects are unknown (or there is only one) it draws presentations and says so in ``unit``: such an interval is
too narrow if people repeat. Clopper-Pearson assumes independent presentations; it is the one that stays honest at zero
errors, where a bootstrap collapses to a point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta

from mfas.errors import ScoreError
from mfas.metrics import _check, _sample, _weighted
from mfas.metrics._check import Array
from mfas.metrics._sample import Sample

DRAWS = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A two-sided interval; ``method`` is ``bootstrap`` or ``clopper_pearson``, ``unit`` what counts as independent."""

    low: float
    high: float
    method: str
    unit: str


def clopper_pearson(errors: int, count: int, confidence: float = CONFIDENCE, unit: str = "presentation") -> Interval:
    """Exact two-sided binomial interval for ``errors`` out of ``count`` (Clopper & Pearson 1934, beta form).

    >>> round(clopper_pearson(0, 150).high, 3)
    0.024
    """
    if count < 1 or not 0 <= errors <= count:
        raise ScoreError(f"expected 0 <= errors <= count with count >= 1, got {errors} of {count}")
    tail = (1.0 - _check.fraction(confidence, "the confidence")) / 2
    low = 0.0 if errors == 0 else float(beta.ppf(tail, errors, count - errors + 1))
    high = 1.0 if errors == count else float(beta.ppf(1.0 - tail, errors + 1, count - errors))
    return Interval(low, high, "clopper_pearson", unit)


def bootstrap(
    bona_fide: ArrayLike,
    attacks: Mapping[str, ArrayLike],
    threshold: float | None = None,
    *,
    bona_fide_subjects: Sequence[str] | None = None,
    attack_subjects: Mapping[str, Sequence[str]] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    confidence: float = CONFIDENCE,
    unit: str = "presentation",
) -> dict[str, Interval]:
    """Percentile bootstrap intervals of every metric that the data define.

    Keys are metric names; a species' APCER is ``apcer_by_species.NAME``. ``unit`` names the rows for the case without
    subjects. One seed gives one result.

    >>> found = bootstrap([0.7, 0.8, 0.4], {"print_flat": [0.1, 0.2, 0.6]}, 0.5, draws=200)
    >>> found["bpcer"].unit, found["bpcer"].low <= 1 / 3 <= found["bpcer"].high
    ('presentation', True)
    """
    sample = _sample.build(bona_fide, attacks, bona_fide_subjects, attack_subjects, unit)
    return of_sample(sample, threshold, draws, seed, confidence)


def of_sample(
    sample: Sample, threshold: float | None, draws: int, seed: int, confidence: float = CONFIDENCE
) -> dict[str, Interval]:
    """`bootstrap` of a sample that is already laid out."""
    if not sample.score.size:
        return {}
    both = bool(sample.species) and bool((sample.stratum == 0).any())
    drawn: dict[str, list[Array]] = {}
    for weights in _sample.resample(sample, draws, seed):
        values = _weighted.at_threshold(sample, weights, threshold) if threshold is not None else {}
        if both:
            values |= _weighted.over_curve(sample, weights)
        for name, value in values.items():
            drawn.setdefault(name, []).append(value)
    found = {name: percentile(np.concatenate(parts), confidence, sample.unit) for name, parts in drawn.items()}
    return {name: interval for name, interval in found.items() if interval is not None}


def percentile(values: Array, confidence: float, unit: str) -> Interval | None:
    """Percentile interval over the draws that define a value; None if fewer than half of them do."""
    finite = values[np.isfinite(values)]
    if finite.size * 2 < values.size or not finite.size:
        return None
    tail = (1.0 - _check.fraction(confidence, "the confidence")) / 2
    low, high = np.quantile(finite, [tail, 1.0 - tail])
    return Interval(float(low), float(high), "bootstrap", unit)
