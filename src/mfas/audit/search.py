"""Search a space of plausible attacks for the one a detector accepts, under a budget of renders.

The idea is that of InSUR (arXiv 2510.22981): stay among things that mean what they should, and climb the detector's
score there, looking ahead through a cheap preview. Here what keeps an attack meaningful is a box of physical parameters
instead of a diffusion model, the climb is CMA-ES, and the preview is whatever ``glance`` renders. Nothing here knows a
simulator or a network: both come as functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from mfas.errors import InputError

Floats = NDArray[np.float64]
Values = Mapping[str, float]
CaptureT = TypeVar("CaptureT")

_STEP = 0.3
"""First standard deviation of CMA-ES in the unit box: three of them reach both walls from the middle."""


@dataclass(frozen=True, slots=True)
class Space:
    """A box of named parameters, each from ``low`` to ``high``; points of it lie in [0, 1] per parameter."""

    names: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.names:
            raise InputError("expected at least one parameter to search, got none")
        for name, low, high in zip(self.names, self.low, self.high, strict=True):
            if not low < high:
                raise InputError(f"expected a range of '{name}' with low < high, got [{low:g}, {high:g}]")

    def values(self, point: Floats) -> dict[str, float]:
        """The parameters at ``point`` ``[D]``."""
        low, high = np.array(self.low), np.array(self.high)
        # the sum may miss the end of the range by its last digit
        found = np.clip(low + point * (high - low), low, high)
        return dict(zip(self.names, found.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Target(Generic[CaptureT]):
    """What is searched: ``render`` makes a capture of parameters, ``score`` gives captures [0, 1], higher = accepted.

    ``glance`` renders the same capture cheaply, at ``glance_cost`` of a full render, scoring included (0 to 1).
    """

    render: Callable[[Values], CaptureT]
    score: Callable[[Sequence[CaptureT]], Sequence[float]]
    glance: Callable[[Values], CaptureT] | None = None
    glance_cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Trial:
    """One full render: the point ``[D]`` in the unit box, its parameters, its score, and that of its preview, if any.

    ``cost`` is what had been spent when it was known, itself included; 1 = a full render.
    """

    point: tuple[float, ...]
    values: dict[str, float]
    score: float
    cost: float
    glanced: float | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that was fully rendered, in order, ``glances`` previews, and the ``cost`` of both."""

    trials: tuple[Trial, ...]
    glances: int
    cost: float

    @property
    def best(self) -> Trial:
        """The trial with the highest score; the first of equals."""
        return max(self.trials, key=lambda trial: trial.score)

    def accepted(self, threshold: float) -> tuple[Trial, ...]:
        """Trials that the detector accepts as bona fide, by their full render."""
        return tuple(trial for trial in self.trials if trial.score >= threshold)

    def first_accepted(self, threshold: float) -> float | None:
        """Cost spent until something was accepted; None if nothing was."""
        return next((trial.cost for trial in self.trials if trial.score >= threshold), None)


def search(space: Space, target: Target[CaptureT], *, budget: int, seed: int, ahead: int = 0) -> Found:
    """Climb the score from the middle of the box with CMA-ES (Hansen, arXiv 1604.00772) until ``budget`` is spent.

    ``budget`` counts full renders; a glance takes its share of one. With ``ahead`` k above 0 each generation proposes k
    times as many candidates, previews all, and renders the best k-th part in full: only those are told to CMA-ES and
    only those can be accepted. A climb that has converged starts again at a random point. The same seed gives the same
    search, and the global NumPy generator is left alone. Raises `InputError` for a budget that pays for nothing or an
    ``ahead`` without a ``glance``.
    """
    _check(budget, ahead, target)
    rng = np.random.default_rng([seed, 1])
    spent = _Spent(space, target, budget, ahead)
    start = np.full(len(space.names), 0.5)
    while spent.affords(1):
        strategy = _strategy(start, rng)
        while spent.affords(1) and not strategy.stop():
            wanted = min(strategy.popsize, spent.affordable)
            points = strategy.ask(wanted * max(1, ahead))
            kept, scores = spent.generation(points, wanted)
            if len(kept) == strategy.popsize:
                strategy.tell(kept, [-score for score in scores])
        start = rng.random(len(space.names))
    return spent.found()


def at_random(space: Space, target: Target[CaptureT], *, budget: int, seed: int) -> Found:
    """``budget`` full renders at points drawn evenly from the box: what a search is held against."""
    _check(budget, 0, target)
    rng = np.random.default_rng([seed, 0])
    spent = _Spent(space, target, budget, 0)
    spent.generation(list(rng.random((budget, len(space.names)))), budget)
    return spent.found()


def spread(trials: Sequence[Trial], count: int) -> list[Trial]:
    """At most ``count`` of ``trials`` that differ: the best, then again and again the one farthest from all chosen.

    The last generations of a climb resemble each other; whoever learns from them wants the others too.
    """
    if not trials or count < 1:
        return []
    left = sorted(trials, key=lambda trial: -trial.score)
    points = np.array([trial.point for trial in left])
    chosen = [0]
    distance = np.linalg.norm(points - points[0], axis=1)
    while len(chosen) < min(count, len(left)):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
        distance[chosen] = -1.0
    return [left[i] for i in chosen]


def reflected(x: Floats) -> Floats:
    """Any real numbers folded into [0, 1] at both walls, so that a step over the wall comes back."""
    folded = np.mod(x, 2.0)
    return np.asarray(np.where(folded > 1.0, 2.0 - folded, folded), np.float64)


class _Spent(Generic[CaptureT]):
    """The budget, and what it was spent on."""

    def __init__(self, space: Space, target: Target[CaptureT], budget: int, ahead: int) -> None:
        self._space, self._target, self._budget, self._ahead = space, target, budget, ahead
        self._trials: list[Trial] = []
        self._glances = 0
        self._cost = 0.0

    def affords(self, count: int) -> bool:
        return self.affordable >= count

    @property
    def affordable(self) -> int:
        """Full renders that the rest pays for, with the glances that choose them."""
        each = 1 + self._ahead * self._target.glance_cost
        return math.floor((self._budget - self._cost) / each + 1e-9)

    def generation(self, points: Sequence[Floats], count: int) -> tuple[list[Floats], list[float]]:
        """Preview ``points`` if there is a choice, render ``count`` of them in full; those, and their scores."""
        places = [reflected(np.asarray(point, np.float64)) for point in points]
        order: list[int] = list(range(count))
        glanced: list[float] | None = None
        if self._ahead and self._target.glance is not None:
            glanced = self._scores([self._target.glance(self._space.values(place)) for place in places])
            self._glances += len(places)
            self._cost += len(places) * self._target.glance_cost
            order = np.argsort([-score for score in glanced], kind="stable")[:count].tolist()
        scores = self._scores([self._target.render(self._space.values(places[i])) for i in order])
        for i, score in zip(order, scores, strict=True):
            self._cost += 1
            seen = None if glanced is None else glanced[i]
            point = tuple(places[i].tolist())
            self._trials.append(Trial(point, self._space.values(places[i]), score, self._cost, seen))
        return [points[i] for i in order], scores

    def _scores(self, captures: Sequence[CaptureT]) -> list[float]:
        scores = [float(score) for score in self._target.score(captures)]
        if len(scores) != len(captures) or not all(math.isfinite(score) for score in scores):
            raise InputError("expected a finite score for every capture of the search")
        return scores

    def found(self) -> Found:
        return Found(tuple(self._trials), self._glances, self._cost)


def _check(budget: int, ahead: int, target: Target[CaptureT]) -> None:
    if budget < 1:
        raise InputError(f"expected a budget of 1 render or more, got {budget}")
    if ahead and target.glance is None:
        raise InputError("expected a glance to look ahead with, got none")
    if budget < 1 + ahead * target.glance_cost:
        raise InputError(
            f"expected a budget of {1 + ahead * target.glance_cost:g} renders or more (one and its {ahead} glances), "
            f"got {budget}"
        )


def _strategy(start: Floats, rng: np.random.Generator) -> Any:
    from cma import CMAEvolutionStrategy

    def normal(*shape: int) -> Floats:
        return rng.standard_normal(shape)

    # a seed of NaN keeps cma from seeding NumPy's global generator
    return CMAEvolutionStrategy(start, _STEP, {"randn": normal, "seed": math.nan, "verbose": -9})
