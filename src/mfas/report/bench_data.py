"""What the page and the figures of a bench are made of: plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Spread:
    """A mean over stream seeds, and the sample standard deviation between them (None = one seed)."""

    mean: float
    deviation: float | None = None


Value = str | int | float | Spread | None


@dataclass(frozen=True, slots=True)
class Table:
    """``rows`` have one entry per name in ``header``; the first ``keys`` of them say what the row is."""

    title: str
    note: str
    header: tuple[str, ...]
    keys: int
    rows: tuple[tuple[Value, ...], ...]


@dataclass(frozen=True, slots=True)
class ForestRow:
    """A mean difference of HTER, in fractions, with its interval (None = not known); ``counts`` wins, ties, losses."""

    name: str
    difference: float
    low: float | None
    high: float | None
    counts: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Forest:
    """Methods against one row of the tables, on one stream and model."""

    title: str
    against: str
    rows: tuple[ForestRow, ...]


@dataclass(frozen=True, slots=True)
class CostPoint:
    """One method: ``cost`` = time over that of a plain prediction, ``hter`` in [0, 1]; ``state_mib`` kept beside."""

    name: str
    cost: float
    hter: float
    state_mib: float | None = None


@dataclass(frozen=True, slots=True)
class Pareto:
    """Error against cost, on one stream and model."""

    title: str
    points: tuple[CostPoint, ...]


@dataclass(frozen=True, slots=True)
class BenchData:
    """Everything on the page of a bench."""

    title: str
    subtitle: str
    tables: Sequence[Table]
    forests: Sequence[Forest] = ()
    paretos: Sequence[Pareto] = ()
    notes: Sequence[str] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
