"""Two systems on the same presentations: the difference, with an interval that knows they are the same people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mfas.errors import ScoreError
from mfas.metrics import _check, _sample, _weighted
from mfas.metrics._check import Array
from mfas.metrics.intervals import CONFIDENCE, DRAWS, percentile

Scores = tuple[ArrayLike, Mapping[str, ArrayLike]]
"""Bona fide scores and attack scores by species."""


@dataclass(frozen=True, slots=True)
class Difference:
    """``after`` minus ``before`` of one metric; negative = fewer errors after. ``low`` and ``high`` bound it.

    ``p_value`` is two-sided: twice the share of draws on the rarer side of zero, both counted with the observed one, at
    most 1; with n draws it is at least 2 / (n + 1).
    """

    metric: str
    before: float
    after: float
    difference: float
    low: float
    high: float
    unit: str
    p_value: float


def paired_bootstrap(
    before: Scores,
    after: Scores,
    *,
    thresholds: tuple[float, float],
    bona_fide_subjects: Sequence[str] | None = None,
    attack_subjects: Mapping[str, Sequence[str]] | None = None,
    metric: str = "hter",
    draws: int = DRAWS,
    seed: int = 0,
    confidence: float = CONFIDENCE,
    unit: str = "presentation",
) -> Difference:
    """Difference of one threshold metric (``hter``, ``acer``, ``bpcer``, ``apcer``, ``apcer_max``) between two systems.

    ``before`` and ``after`` hold scores of the *same* presentations in the same order; ``thresholds`` is one each.
    Every draw takes the same subjects and presentations for both. Raises `ScoreError` when the two do not line up.

    >>> difference = paired_bootstrap(
    ...     ([0.4, 0.8, 0.9], {"print_flat": [0.1, 0.6, 0.2]}),
    ...     ([0.7, 0.8, 0.9], {"print_flat": [0.1, 0.2, 0.2]}),
    ...     thresholds=(0.5, 0.5), draws=200,
    ... )
    >>> round(difference.difference, 3), difference.high <= 0
    (-0.333, True)
    """
    first = _sample.build(*before, bona_fide_subjects, attack_subjects, unit)
    second = _sample.build(*after, bona_fide_subjects, attack_subjects, unit)
    if first.species != second.species or not np.array_equal(_strata(first), _strata(second)):
        raise ScoreError("expected both systems to score the same presentations, got different classes or counts")
    # Weights are drawn in the order of the first system's scores; the second reads them in its own.
    place = np.empty_like(first.order)
    place[first.order] = np.arange(first.order.size)
    into_second = place[second.order]
    ones = np.ones((1, first.score.size), dtype=np.int64)
    start = _value(first, ones, thresholds[0], metric)[0]
    end = _value(second, ones, thresholds[1], metric)[0]
    gaps = [
        _value(second, weights[:, into_second], thresholds[1], metric) - _value(first, weights, thresholds[0], metric)
        for weights in _sample.resample(first, draws, seed)
    ]
    drawn = np.concatenate(gaps)
    found = percentile(drawn, confidence, first.unit)
    if found is None or not np.isfinite(end - start):
        raise ScoreError(f"expected bona fide and attack scores to compare {metric}, got one class only")
    gap = float(end - start)
    return Difference(metric, float(start), float(end), gap, found.low, found.high, found.unit, _two_sided(drawn))


def _two_sided(drawn: Array) -> float:
    finite = drawn[np.isfinite(drawn)]
    rarer = min(np.count_nonzero(finite <= 0), np.count_nonzero(finite >= 0))
    return min(1.0, 2 * (1 + rarer) / (1 + finite.size))


def _value(sample: _sample.Sample, weights: _check.IntArray, threshold: float, metric: str) -> Array:
    values = _weighted.at_threshold(sample, weights, _check.decision_threshold(threshold))
    if metric not in values:
        raise ScoreError(f"expected a threshold metric (hter, acer, bpcer, apcer, apcer_max), got '{metric}'")
    return values[metric]


def _strata(sample: _sample.Sample) -> _check.IntArray:
    strata = np.empty_like(sample.stratum)
    strata[sample.order] = sample.stratum
    return strata
