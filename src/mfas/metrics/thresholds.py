"""Choosing a threshold on validation scores. Deterministic, and safe with tied scores.

A threshold matters only by which scores lie at or above it, so the candidates are the midpoints between neighbouring
distinct scores (0 and 1 being the outer neighbours): no returned threshold coincides with an observed score unless the
score is at an end of the range.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from mfas.metrics import _check, rates
from mfas.metrics._check import Array


def equal_error_threshold(bona_fide: ArrayLike, attacks: Mapping[str, ArrayLike]) -> float:
    """The threshold in [0, 1] at which pooled APCER and BPCER are closest.

    Ties go to the smaller half total error, then to the higher threshold (fewer attacks accepted). The comparison is
    made on integer counts, so rounding cannot decide it. Raises `ScoreError` if a class has no score.

    >>> equal_error_threshold([0.4, 0.8, 0.9], {"print_flat": [0.1, 0.2, 0.3]})
    0.35
    """
    genuine = np.sort(_check.bona_fide_scores(bona_fide))
    fake = np.sort(_check.pooled(_check.attack_scores(attacks)))
    candidates = _candidates(np.concatenate([genuine, fake]))
    rejected = np.searchsorted(genuine, candidates, side="left") * fake.size
    accepted = (fake.size - np.searchsorted(fake, candidates, side="left")) * genuine.size
    order = np.lexsort((-candidates, rejected + accepted, np.abs(rejected - accepted)))
    return float(candidates[order[0]])


def threshold_at_apcer(attacks: Mapping[str, ArrayLike], target: float, *, per_species: bool = True) -> float:
    """The lowest threshold whose APCER is at most ``target``: as convenient as the target allows.

    With ``per_species`` the target holds for *every* species, so the strictest species decides; otherwise for the
    pool. It lies just above the score that must be rejected, hence slightly above 1 when an attack scored exactly 1.

    >>> threshold_at_apcer({"print_flat": [0.1, 0.2, 0.3, 0.4], "replay_lcd": [0.5, 0.9]}, 0.5) > 0.5
    True
    """
    return float(np.nextafter(_highest_rejected(attacks, target, per_species), np.inf))


def bpcer_at_apcer(
    bona_fide: ArrayLike, attacks: Mapping[str, ArrayLike], target: float, *, per_species: bool = True
) -> float:
    """BPCER at the lowest threshold with APCER <= ``target`` (BPCER10, 20, 100 in the words of ISO/IEC 30107-3).

    By default the strictest species decides. With fewer than 1 / ``target`` attacks of a species, none may be accepted.
    Both classes' scores are looked at to place the threshold: a figure for comparing systems, not an operating point.

    >>> bpcer_at_apcer([0.4, 0.6, 0.8, 0.9], {"print_flat": [0.1, 0.2], "replay_lcd": [0.5, 0.7]}, 0.10)
    0.5
    """
    return rates.bpcer(bona_fide, threshold_at_apcer(attacks, target, per_species=per_species))


def threshold_at_bpcer(bona_fide: ArrayLike, target: float) -> float:
    """The highest threshold whose BPCER is at most ``target``: as strict as the target allows.

    >>> threshold_at_bpcer([0.4, 0.6, 0.8, 0.9], 0.25)
    0.6
    """
    genuine = np.sort(_check.bona_fide_scores(bona_fide))
    spare = _check.allowed_errors(_check.fraction(target, "the BPCER target"), genuine.size)
    return float(genuine[spare]) if spare < genuine.size else float(np.nextafter(1.0, 2.0))


def _highest_rejected(attacks: Mapping[str, ArrayLike], target: float, per_species: bool) -> float:
    target = _check.fraction(target, "the APCER target")
    checked = _check.attack_scores(attacks)
    groups = list(checked.values()) if per_species else [_check.pooled(checked)]
    needed = []
    for group in groups:
        spare = _check.allowed_errors(target, group.size)
        needed.append(-np.inf if spare == group.size else np.sort(group)[group.size - 1 - spare])
    highest = max(needed)
    return float(highest) if np.isfinite(highest) else float(np.nextafter(0.0, -1.0))


def _candidates(values: Array) -> Array:
    distinct = np.unique(values)
    edges = np.concatenate([[0.0], distinct, [1.0]])
    low, high = edges[:-1], edges[1:]
    middle = low + (high - low) / 2
    # Between two neighbouring floats the midpoint rounds to one of them; the upper one separates, the lower does not.
    return np.unique(np.where(middle > low, middle, high))
