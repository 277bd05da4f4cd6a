"""A page of findings and tables: what the pages of several audits share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mfas.report import _text, tables
from mfas.report._render import render
from mfas.report.tables import Cell, Row

_WARM, _HOT = 0.2, 0.5


@dataclass(frozen=True, slots=True)
class Table:
    """A table: ``head`` names its columns, the first one those of the rows."""

    head: Sequence[str]
    rows: Sequence[Row]
    title: str = ""
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with its anchor, a sentence that says what is measured, and tables."""

    anchor: str
    title: str
    lead: str
    tables: Sequence[Table]


def build_sections(
    title: str,
    subtitle: str,
    findings: Sequence[str],
    sections: Sequence[Section],
    reading: Sequence[str],
    *,
    command: str = "",
    environment: Mapping[str, Any] | None = None,
) -> str:
    """The page as text; sections without a table are left out, and the same values give the same bytes."""
    return render(
        "sections.html.j2",
        title=title,
        subtitle=subtitle,
        findings=list(findings),
        sections=[part for part in sections if any(table.rows for table in part.tables)],
        reading=list(reading),
        command=command,
        environment=tables.settings(environment or {}),
    )


def rate_cell(value: float | None, sub: str = "", *, shaded: bool = True) -> Cell:
    """A rate in per cent; from a fifth on it is shaded, from a half on darker."""
    if value is None:
        return Cell(_text.DASH, sub)
    tone = "" if not shaded else "hot" if value >= _HOT else "warm" if value >= _WARM else ""
    return Cell(_text.percent(value), sub, tone=tone)


def number_cell(value: float | None, digits: int = 2, sub: str = "") -> Cell:
    """A plain number."""
    return Cell(_text.decimal(value, digits), sub)
