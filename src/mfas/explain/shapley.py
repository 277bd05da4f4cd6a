"""Exact Shapley values and pairwise interactions of a game over modalities. No torch.

Three players have eight coalitions, so nothing is sampled. Shapley, *A value for n-person games* (1953); the
interaction index is that of Grabisch and Roubens (1999).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from math import factorial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mfas.core import MODALITIES, Modality

Coalition = frozenset[Modality]
ValueT = TypeVar("ValueT", float, NDArray[np.float64])


def coalitions(players: Iterable[Modality]) -> tuple[Coalition, ...]:
    """All subsets of ``players``, from the empty one to the whole, smaller ones first, in canonical order."""
    chosen = set(players)
    ordered = [m for m in MODALITIES if m in chosen]
    return tuple(frozenset(some) for size in range(len(ordered) + 1) for some in combinations(ordered, size))


def shapley(values: Mapping[Coalition, ValueT]) -> dict[Modality, ValueT]:
    """Shapley value of each player; they sum to the value of the whole less that of the empty coalition.

    ``values`` holds every coalition, as floats or as arrays of one shape (a game per entry). Raises `ValueError` when
    one is missing.

    >>> rgb, ir = Modality.RGB, Modality.IR
    >>> game = {frozenset(): 0.0, frozenset({rgb}): 1.0, frozenset({ir}): 2.0, frozenset({rgb, ir}): 5.0}
    >>> {m.value: value for m, value in shapley(game).items()}
    {'rgb': 2.0, 'ir': 3.0}
    """
    players = _players(values)
    count = len(players)
    found = {}
    for m in players:
        without = coalitions(p for p in players if p is not m)
        share = [factorial(len(t)) * factorial(count - len(t) - 1) / factorial(count) for t in without]
        gains = [values[t | {m}] - values[t] for t in without]
        found[m] = _weighted(share, gains)
    return found


def interactions(values: Mapping[Coalition, ValueT]) -> dict[tuple[Modality, Modality], ValueT]:
    """How much each pair adds together beyond what its two add alone; 0 where they add up. Arguments as in `shapley`.

    >>> rgb, ir = Modality.RGB, Modality.IR
    >>> game = {frozenset(): 0.0, frozenset({rgb}): 1.0, frozenset({ir}): 2.0, frozenset({rgb, ir}): 5.0}
    >>> interactions(game)[rgb, ir]
    2.0
    """
    players = _players(values)
    count = len(players)
    found = {}
    for m, n in combinations(players, 2):
        others = coalitions(p for p in players if p not in (m, n))
        share = [factorial(len(t)) * factorial(count - len(t) - 2) / factorial(count - 1) for t in others]
        gains = [values[t | {m, n}] - values[t | {m}] - values[t | {n}] + values[t] for t in others]
        found[m, n] = _weighted(share, gains)
    return found


def _players(values: Mapping[Coalition, ValueT]) -> list[Modality]:
    known = set().union(*values)
    for some in coalitions(known):
        if some not in values:
            names = ", ".join(m.value for m in MODALITIES if m in some) or "the empty one"
            raise ValueError(f"expected a value for every coalition, got none for {names}")
    return [m for m in MODALITIES if m in known]


def _weighted(shares: list[float], gains: list[ValueT]) -> ValueT:
    total = shares[0] * gains[0]
    for share, gain in zip(shares[1:], gains[1:], strict=True):
        total = total + share * gain
    return total
