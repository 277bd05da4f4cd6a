"""Where everything of the drawing of a site's adaptation stands; the template only writes it down."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from mfas.core import Label
from mfas.service.store.types import Step

WIDTH = 760.0
LEFT, RIGHT = 96.0, 748.0
_MARK = 18.0
"""Height of a row of marks."""
WIDEST = 26.0
"""Of a capture, so that the first few do not fill the drawing."""
_WEIGHTS, _STRIP, _DRIFT, _GAP = 64.0, 34.0, 64.0, 16.0
_LETTERS = {
    "proposed": "C",
    "promoted": "P",
    "rejected": "X",
    "rolled_back": "R",
    "frozen": "F",
    "unfrozen": "U",
    "alarm": "!",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle of a kind the style sheet knows, and what it says when it is pointed at."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    says: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A letter above a line through the drawing: something happened between two captures."""

    x: float
    y: float
    letter: str
    kind: str
    says: str


@dataclass(frozen=True, slots=True)
class Chart:
    """The drawing, in units of its own box. ``drift`` is a polyline's points."""

    height: float
    top: float
    weights_floor: float
    strip_middle: float
    drift_top: float
    drift_floor: float
    largest_drift: float
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]
    drift: str
    counts: str


def chart(steps: Sequence[tuple[int, Step]], events: Sequence[tuple[int, str]]) -> Chart | None:
    """Loss weights, captures and drift of steps with their ledger numbers, oldest first; None where there are none.

    ``events`` are ledger numbers and kinds, oldest first; those before the first step are left away.
    """
    if not steps:
        return None
    numbers = [seq for seq, _ in steps]
    width = min((RIGHT - LEFT) / len(steps), WIDEST)
    marks, rows = _marks(events, numbers, width)
    top = _MARK * rows + 4
    floor = top + _WEIGHTS
    middle = floor + _GAP + _STRIP / 2
    drift_top = middle + _STRIP / 2 + _GAP
    drift_floor = drift_top + _DRIFT
    largest = max((step.drift for _, step in steps if isfinite(step.drift)), default=0.0)
    bars: list[Bar] = []
    points: list[str] = []
    for place, (_, step) in enumerate(steps):
        x = LEFT + place * width
        bars += _bars(step, x, width, floor, middle)
        if isfinite(step.drift):
            points.append(f"{x + width / 2:.1f},{drift_floor - _DRIFT * step.drift / (largest or 1.0):.1f}")
    accepted = sum(step.accepted for _, step in steps)
    captures = "1 capture" if len(steps) == 1 else f"{len(steps)} captures"
    counts = f"{captures}, {accepted} taken, {len(steps) - accepted} skipped"
    height, line = drift_floor + 22, " ".join(points)
    levels = (height, top, floor, middle, drift_top, drift_floor)
    return Chart(*levels, largest, tuple(bars), tuple(marks), line, counts)


def _bars(step: Step, x: float, width: float, floor: float, middle: float) -> list[Bar]:
    inner = max(width - min(2.0, 0.25 * width), 0.5)
    found: list[Bar] = []
    if step.updated and step.loss_weight is not None and isfinite(step.loss_weight):
        height = _WEIGHTS * min(max(step.loss_weight, 0.0), 1.0)
        found.append(Bar(x, floor - height, inner, height, "weight", f"updated, loss weight {step.loss_weight:.3f}"))
    half = _STRIP / 2
    if not step.accepted:
        found.append(Bar(x, middle - 2, inner, 4, "skipped", f"skipped: {step.reason or 'not chosen'}"))
    elif step.pseudo_label == Label.ATTACK.value:
        found.append(Bar(x, middle, inner, half, "attack", "taken as attack"))
    else:
        found.append(Bar(x, middle - half, inner, half, "bona_fide", "taken as bona fide"))
    return found


def _marks(events: Sequence[tuple[int, str]], numbers: Sequence[int], width: float) -> tuple[list[Mark], int]:
    """Marks one below the other where they would cover each other, and how many rows that takes."""
    found: list[Mark] = []
    ends: list[float] = []
    for seq, kind in events:
        if seq < numbers[0] or kind not in _LETTERS:
            continue
        x = LEFT + bisect_left(numbers, seq) * width
        row = next((k for k, end in enumerate(ends) if end + _MARK <= x), len(ends))
        ends[row:] = [x, *ends[row + 1 :]]
        found.append(Mark(x, row * _MARK + _MARK / 2 + 2, _LETTERS[kind], kind, kind.replace("_", " ")))
    return found, len(ends)
