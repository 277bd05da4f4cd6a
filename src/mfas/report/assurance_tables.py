"""Tables of the parts of an assurance report: known kinds as their own pages show them, others key by key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from mfas.report import _text, tables
from mfas.report.figures import method_label
from mfas.report.search_page import HEAD as SEARCH_HEAD
from mfas.report.search_page import summary_row
from mfas.report.tables import Cell, Row

_MOST_ROWS = 40
_MOST_COLUMNS = 9


@dataclass(frozen=True, slots=True)
class Table:
    """A table under its ``title``; ``head`` names the columns, that of the row heads included."""

    title: str
    head: Sequence[str]
    rows: Sequence[Row]
    caption: str


def tables_of(kind: str, content: Mapping[str, Any]) -> list[Table]:
    """What of a part goes on the page."""
    known = {"evaluation": _evaluation, "streams": _streams, "search": _search}
    return list(known.get(kind, _plain)(content))


def _evaluation(content: Mapping[str, Any]) -> Iterator[Table]:
    runs = [{**run, "target": run.get("site") or run.get("target", "")} for run in content["runs"]]
    found = tables.iso_tables(runs)
    at = ["", "Threshold", *(title for _, title in tables.AT_THRESHOLD)]
    yield Table(
        "At the threshold", at, found["at_threshold"],
        "Upright: 95 % bootstrap interval. Italic: exact (Clopper-Pearson) interval; read this one at zero errors.",
    )  # fmt: skip
    if found["species"]:
        yield Table(
            "APCER per species", ["", *found["species"]], found["by_species"],
            "The headline of ISO/IEC 30107-3 is the worst species. Shaded: above 7 %; darker: above 15 %.",
        )  # fmt: skip
    counts = ["", "Bona fide", "Attacks", "Subjects", "Presentations", "Non-response"]
    rows = [Row(row.head, row.sub, row.cells[: len(counts) - 1]) for row in found["counts"]]
    yield Table("Counts", counts, rows, "Non-response: presentations without an answer; they enter no rate.")


def _streams(content: Mapping[str, Any]) -> Iterator[Table]:
    """Means over patterns and seeds, by target, stream and method; ``source`` is the model as it was trained."""
    groups: dict[tuple[str, str, str, str], list[Mapping[str, Any]]] = {}
    for run in content["runs"]:
        if run.get("hter") is not None:
            key = tuple(str(run.get(name) or "") for name in ("model", "target", "stream", "method"))
            groups.setdefault((key[0], key[1], key[2], key[3]), []).append(run)
    rows = []
    for (model, target, stream, method), runs in groups.items():
        base = {_place(run): run["hter"] for run in groups.get((model, target, stream, "source"), [])}
        gaps = [run["hter"] - base[_place(run)] for run in runs if _place(run) in base]
        cells = (
            Cell(_text.percent(fmean(run["hter"] for run in runs))),
            Cell(_text.points(fmean(gaps) if gaps and method != "source" else None)),
            Cell(_text.points(max(gaps) if gaps and method != "source" else None)),
            *(Cell(_text.percent(max(run.get(name) or 0.0 for run in runs))) for name in ("apcer_max", "bpcer")),
            Cell(str(len(runs))),
        )
        sub = ", ".join(part for part in (model, target, stream) if part)
        rows.append(Row(method_label(method), sub, cells, method == "source"))
    head = ["", "Mean HTER", "Against source", "Worst against source", "Worst APCER", "Worst BPCER", "Runs"]
    caption = "HTER at the source threshold; differences in points, positive = adapting did harm."
    yield from _cut(Table("Means over missing patterns and seeds", head, rows, caption))


def _place(run: Mapping[str, Any]) -> tuple[str, str, str]:
    seeds = str(run.get("training_seed", "")), str(run.get("seed", ""))
    return str(run.get("missing") or ""), *seeds


def _search(content: Mapping[str, Any]) -> Iterator[Table]:
    rows = [summary_row(row) for row in content["rows"]]
    caption = (
        f"At {content['site']}, threshold {_text.decimal(content['threshold'])}: share of full renders, with counts "
        "and exact interval. Again: the easiest capture's parameters with other people and other noise."
    )
    yield Table("Accepted as bona fide", SEARCH_HEAD, rows, caption)


_UNTABLED = frozenset(
    {"kind", "schema", "command", "findings", "environment", "config", "settings", "maps", "manifest", "page", "notice"}
)
"""Keys shown elsewhere on the page, paths, and pictures as numbers."""


def _plain(content: Mapping[str, Any]) -> Iterator[Table]:
    """Every list of records as a table, and what single values there are."""
    single = {k: v for k, v in content.items() if k not in _UNTABLED and not isinstance(v, dict | list)}
    if single:
        rows = [Row(key, "", (Cell(_value(key, value)),)) for key, value in single.items()]
        yield Table("In short", ["", "Value"], rows, "As the file says it.")
    for key, value in content.items():
        if key not in _UNTABLED and isinstance(value, dict):
            yield from _pairs(key, value)
        if key not in _UNTABLED and isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
            yield from _records(key, value)


def _pairs(title: str, record: Mapping[str, Any]) -> Iterator[Table]:
    rows = [Row(_text.plain(name), "", (Cell(_value(name, value)),)) for name, value in _flat(record).items()]
    if rows:
        yield Table(_text.plain(title).capitalize(), ["", "Value"], rows, "As the file says it.")


def _records(title: str, records: Sequence[Mapping[str, Any]]) -> Iterator[Table]:
    flat = [_flat(record) for record in records]
    names = list(dict.fromkeys(name for record in flat for name in record))[: _MOST_COLUMNS + 1]
    rows = [
        Row(_value(names[0], record.get(names[0])), "", tuple(Cell(_value(n, record.get(n))) for n in names[1:]))
        for record in flat
    ]
    head = [_text.plain(name) for name in names]
    yield from _cut(Table(_text.plain(title).capitalize(), head, rows, "As the file says it; rates are fractions."))


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """One level of nesting becomes dotted keys; an interval one cell; what is deeper stays in the file."""
    out: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, dict) and {"low", "high"} <= value.keys():
            out[key] = f"{value['low']:.3f}{_text.DASH}{value['high']:.3f}"
        elif isinstance(value, dict):
            out |= {f"{key}.{name}": inner for name, inner in value.items() if not isinstance(inner, dict | list)}
        elif not isinstance(value, list):
            out[key] = value
    return out


def _value(name: str, value: Any) -> str:
    if value is None:
        return _text.DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return (_text.pattern(value) if name == "missing" and isinstance(value, str) else str(value)) or _text.DASH


def _cut(table: Table) -> Iterator[Table]:
    """No more rows than a reader reads; the file holds the others."""
    if len(table.rows) <= _MOST_ROWS:
        yield table
        return
    told = f"{table.caption} The first {_MOST_ROWS} of {len(table.rows)} rows; the file holds all."
    yield Table(table.title, table.head, table.rows[:_MOST_ROWS], told)
