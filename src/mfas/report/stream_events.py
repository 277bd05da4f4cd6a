"""The turns of a stream in words: when the weight fell and why, when learning stood still, what guards did."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from mfas.metrics import moving_rates
from mfas.report import _text
from mfas.report.data import StreamData, StreamErrors
from mfas.report.timeline import guard_of, reason, seen_of, verdicts

_FALL = 0.1
"""Smallest fall of the loss weight worth a line."""
_STILL = 10
"""Steps in a row without learning, for the same reason, that are worth a line."""
_MOST = 40
_ENOUGH = 15
"""Captures of a class in the window that a best or worst stretch needs: an extreme of small counts is chance."""

Steps = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Event:
    """Something to know about the captures from ``start`` to ``end``; ``size`` orders what is dropped first."""

    start: int
    end: int
    what: str
    why: str
    size: float


def events(data: StreamData) -> list[Event]:
    """At most 40 events in the order of the stream; the smallest are dropped first, guards last."""
    steps = data.timeline.steps
    seen = [int(value) for value in seen_of(steps)]
    found = [*_falls(steps, seen, data.strengths), *_still(steps, seen), *_guards(steps, seen)]
    if data.errors is not None:
        found += _cost(data.errors)
    kept = sorted(found, key=lambda e: -e.size)[:_MOST]
    return sorted(kept, key=lambda e: (e.start, e.end))


def _falls(steps: Steps, seen: list[int], strengths: Mapping[str, float]) -> Iterator[Event]:
    weights = [step.get("loss_weight") for step in steps]
    start = 0
    for index in range(1, len(steps) + 1):
        falling = index < len(steps) and _less(weights[index], weights[index - 1])
        if falling:
            continue
        top, bottom = weights[start], weights[index - 1]
        if top is not None and bottom is not None and top - bottom >= _FALL:
            why = _driver(steps[start], steps[index - 1], strengths)
            what = f"the loss weight fell from {top:.2f} to {bottom:.2f}"
            yield Event(seen[start], seen[index - 1], what, why, top - bottom)
        start = index


def _less(value: float | None, before: float | None) -> bool:
    return value is not None and before is not None and value < before


def _driver(before: Mapping[str, Any], after: Mapping[str, Any], strengths: Mapping[str, float]) -> str:
    """The signal whose rise lowered the weight most."""
    old, new = before.get("signals") or {}, after.get("signals") or {}
    heard = [name for name in new if name in strengths] or list(new)  # others are reported and move nothing
    rise = {name: strengths.get(name, 1.0) * (new[name] - old.get(name, 0.0)) for name in heard}
    if not rise or max(rise.values()) <= 0:
        return ""
    name = max(rise, key=lambda key: rise[key])
    return f"{_text.plain(name)} rose from {old.get(name, 0.0):.2f} to {new[name]:.2f}"


def _still(steps: Steps, seen: list[int]) -> Iterator[Event]:
    for (first, last), words in _runs(steps, reason):
        if words and last - first + 1 >= _STILL:
            what = f"{last - first + 1} steps without learning"
            yield Event(seen[first], seen[last], what, words, 0.001 * (last - first + 1))


def _guards(steps: Steps, seen: list[int]) -> Iterator[Event]:
    for (first, last), verdict in _runs(steps, lambda step: ", ".join(verdicts(step))):
        if verdict:
            times = "" if first == last else f", {last - first + 1} steps in a row"
            yield Event(seen[first], seen[last], f"guard: {verdict}{times}", _figures(guard_of(steps[first])), 2.0)


def _figures(verdict: str) -> str:
    """What a verdict adds to its name."""
    return "; ".join(part.split(":", maxsplit=1)[1].strip() for part in verdict.split(";") if ":" in part)


def _runs(steps: Steps, key: Callable[[Mapping[str, Any]], str]) -> Iterator[tuple[tuple[int, int], str]]:
    at = 0
    for value, group in groupby(steps, key):
        count = len(list(group))
        yield (at, at + count - 1), value
        at += count


def _cost(errors: StreamErrors) -> list[Event]:
    """Where the moving HTER was furthest above and below the source's."""
    if errors.source is None:
        return []
    rates = [
        moving_rates(scores, errors.bona_fide, errors.threshold, errors.window, least=_ENOUGH).hter
        for scores in (errors.source, errors.adapted)
    ]
    gap = rates[1] - rates[0]
    if not np.isfinite(gap).any():
        return []
    found = []
    for at, words in ((int(np.nanargmax(gap)), "worst"), (int(np.nanargmin(gap)), "best")):
        if (gap[at] > 0) == (words == "worst") and gap[at] != 0:
            start = max(1, at + 2 - errors.window)
            what = f"{words} stretch against the source: HTER {_text.points(float(gap[at]))} points"
            why = f"{_text.percent(float(rates[0][at]))} source, {_text.percent(float(rates[1][at]))} adapted"
            found.append(Event(start, at + 1, what, why, 3.0))
    return found
