"""Validation shared by every metric: scores come in once, checked, as float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfas.errors import ScoreError

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]


def scores(values: ArrayLike, name: str) -> Array:
    """One class or species as a float64 vector; `ScoreError` unless it is 1-D, finite and within [0, 1]."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ScoreError(f"expected one score per presentation for {name}, got an array of shape {array.shape}")
    if not np.isfinite(array).all():
        bad = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ScoreError(f"expected finite scores for {name}, got {array[bad]} at position {bad}")
    if array.size and (array.min() < 0.0 or array.max() > 1.0):
        worst = array.min() if array.min() < 0.0 else array.max()
        raise ScoreError(f"expected scores in [0, 1] (higher = bona fide) for {name}, got {worst:g}")
    return array


def bona_fide_scores(values: ArrayLike) -> Array:
    """Bona fide scores, at least one."""
    array = scores(values, "bona fide")
    if not array.size:
        raise ScoreError("expected at least one bona fide score, got none")
    return array


def attack_scores(attacks: Mapping[str, ArrayLike]) -> dict[str, Array]:
    """Attack scores by species in name order, at least one; species without a score are left out."""
    checked = species_scores(attacks)
    if not checked:
        raise ScoreError("expected at least one attack score, got none")
    return checked


def species_scores(attacks: Mapping[str, ArrayLike]) -> dict[str, Array]:
    """As `attack_scores`, but an empty mapping is allowed."""
    if not isinstance(attacks, Mapping):
        raise ScoreError(f"expected attack scores as a mapping from species to scores, got {type(attacks).__name__}")
    checked = {name: scores(attacks[name], f"species '{name}'") for name in sorted(attacks)}
    return {name: array for name, array in checked.items() if array.size}


def pooled(attacks: Mapping[str, Array]) -> Array:
    """All attack scores in one vector, species in mapping order."""
    return np.concatenate(list(attacks.values())) if attacks else np.empty(0)


def fraction(value: float, name: str) -> float:
    """A rate in [0, 1], or `ScoreError`."""
    if not 0.0 <= value <= 1.0:
        raise ScoreError(f"expected {name} as a fraction in [0, 1], got {value}")
    return float(value)


def decision_threshold(value: float) -> float:
    """A finite threshold, or `ScoreError`."""
    if not np.isfinite(value):
        raise ScoreError(f"expected a finite threshold, got {value}")
    return float(value)


def allowed_errors(target: float, count: int) -> int:
    """How many of ``count`` trials may err at an error rate of at most ``target`` (exact at products like 0.1 x 30)."""
    return min(count, int(np.floor(target * count + 1e-9)))


def names(values: Sequence[str] | NDArray[np.str_], count: int, name: str) -> list[str]:
    """Subject names of a class or species, one per score."""
    if len(values) != count:
        raise ScoreError(f"expected one subject per score for {name}: {count} scores, got {len(values)} subjects")
    return [str(value) for value in values]
