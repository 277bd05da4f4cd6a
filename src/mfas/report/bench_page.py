"""The page of ``mfas benchmark``: every table and figure, self-contained."""

from __future__ import annotations

from pathlib import Path

from mfas._files import write_text
from mfas.report import bench_figures, tables
from mfas.report._render import render
from mfas.report.bench_data import BenchData, Spread, Table, Value


def write_bench(data: BenchData, path: Path) -> None:
    """Write the page atomically; it needs no other file."""
    write_text(path, build_bench(data))


def build_bench(data: BenchData) -> str:
    """The page as text; the same data give the same bytes."""
    return render(
        "bench.html.j2",
        title=data.title,
        subtitle=data.subtitle,
        notes=data.notes,
        tables=[(f"table-{i}", table, _rows(table)) for i, table in enumerate(data.tables)],
        forests=[(f"forest-{i}", found, bench_figures.forest(found)) for i, found in enumerate(data.forests)],
        paretos=[(f"pareto-{i}", found, bench_figures.pareto(found)) for i, found in enumerate(data.paretos)],
        environment=tables.settings(data.environment),
        config=tables.settings(data.config),
    )


def shown(value: Value) -> str:
    """An entry of a table as a reader sees it.

    >>> shown(Spread(12.041, 0.3)), shown(2.0), shown(None), shown(7)
    ('12.04 ± 0.30', '2.00', '-', '7')
    """
    if value is None:
        return "-"
    if isinstance(value, Spread):
        return shown(value.mean) + ("" if value.deviation is None else f" ± {value.deviation:.2f}")
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _rows(table: Table) -> list[tuple[list[str], list[str], bool]]:
    """Keys and entries as text, and whether a new group begins: the first key changes."""
    out = []
    for number, row in enumerate(table.rows):
        first = table.keys > 1 and number > 0 and row[0] != table.rows[number - 1][0]
        texts = [shown(value) for value in row]
        out.append((texts[: table.keys], texts[table.keys :], first))
    return out
