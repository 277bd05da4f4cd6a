"""The mean difference of two systems over many conditions that share people, with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfas.errors import ScoreError
from mfas.metrics._check import Array
from mfas.metrics.intervals import CONFIDENCE, DRAWS, percentile


@dataclass(frozen=True, slots=True)
class PairedErrors:
    """Decisions of two systems on the same presentations under one condition; vectors of equal length.

    ``unit`` names who is drawn together (the person, or the presentation where people are not known); ``attack`` bool;
    ``before`` and ``after`` bool, true = a wrong decision.
    """

    unit: NDArray[np.str_]
    attack: NDArray[np.bool_]
    before: NDArray[np.bool_]
    after: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class MeanDifference:
    """``after`` minus ``before`` in HTER, mean over conditions; negative = fewer errors after."""

    difference: float
    low: float
    high: float


def mean_hter_difference(
    places: Sequence[Sequence[PairedErrors]], *, draws: int = DRAWS, seed: int = 0, confidence: float = CONFIDENCE
) -> MeanDifference:
    """Mean over all conditions of all ``places``, and its percentile interval.

    Each draw takes people with replacement, place by place, and the same people for every condition of a place: the
    conditions (sensors taken away) show the same people, so they are not independent. HTER is the mean of pooled APCER
    and BPCER. Raises `ScoreError` where a condition lacks a class, or so few people are there that most draws do.

    >>> who, attack = np.array(["a", "a", "b", "b"]), np.array([True, False, True, False])
    >>> errors = PairedErrors(who, attack, np.array([True] * 4), np.array([True, False, True, False]))
    >>> mean_hter_difference([[errors, errors]], draws=100)
    MeanDifference(difference=-0.5, low=-0.5, high=-0.5)
    """
    rng = np.random.default_rng(seed)
    observed: list[Array] = []
    drawn: list[Array] = []
    for conditions in places:
        names = np.unique(np.concatenate([condition.unit for condition in conditions]))
        times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
        for condition in conditions:
            observed.append(_differences(condition, names, np.ones((1, len(names)), dtype=np.int64)))
            drawn.append(_differences(condition, names, times))
    center = float(np.mean(observed)) if observed else np.nan
    found = percentile(np.mean(drawn, axis=0), confidence, "subject") if np.isfinite(center) else None
    if found is None:
        raise ScoreError("expected bona fide and attack presentations of enough people under every condition")
    return MeanDifference(center, found.low, found.high)


def _differences(errors: PairedErrors, names: NDArray[np.str_], times: NDArray[np.int64]) -> Array:
    """Per row of ``times`` ``[d, units]``; NaN where a class was not drawn."""
    place = np.searchsorted(names, errors.unit)
    change = errors.after.astype(np.float64) - errors.before
    parts = []
    for chosen in (errors.attack, ~errors.attack):
        total = times @ np.bincount(place[chosen], minlength=len(names))
        moved = times @ np.bincount(place[chosen], weights=change[chosen], minlength=len(names))
        with np.errstate(invalid="ignore", divide="ignore"):
            parts.append(moved / total)
    return np.asarray((parts[0] + parts[1]) / 2)
