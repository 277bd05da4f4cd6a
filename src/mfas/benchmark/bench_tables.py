"""The tables of a bench as data, and as Markdown and CSV. Rates are per cent, differences percentage points."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mfas.benchmark.bench_config import BASELINE
from mfas.benchmark.bench_statistics import LEVEL, Row, group
from mfas.core import MISSING_PATTERNS

Value = str | int | float | None


@dataclass(frozen=True, slots=True)
class Table:
    """``rows`` have one entry per name in ``header``; the first ``keys`` of them say what the row is."""

    title: str
    note: str
    header: tuple[str, ...]
    keys: int
    rows: tuple[tuple[Value, ...], ...]


def tables(result: dict[str, Any]) -> list[Table]:
    """Every table of a ``results.json`` that has something in it."""
    rows = [row for row in result["runs"] if row["status"] == "ok"]
    marks = {row["method"]: "" if row["batch_independent"] else "*" for row in rows}
    found = [
        *_errors(rows, marks),
        _against_source(result["comparisons_summary"], marks),
        _probe(rows, marks),
        _pseudo_labels(rows, marks),
        _cost(result["cost"], marks),
        _failures(result["runs"]),
    ]
    return [table for table in found if table.rows]


def markdown(found: Iterable[Table]) -> str:
    """All tables as one page."""
    parts = ["# Benchmark"]
    for table in found:
        right = [":---" if i < table.keys else "---:" for i in range(len(table.header))]
        lines = [table.header, right, *([_text(value) for value in row] for row in table.rows)]
        shown = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
        parts.append(f"## {table.title}\n\n{table.note}\n\n{shown}")
    return "\n\n".join(parts) + "\n"


def as_csv(found: Iterable[Table]) -> str:
    """All tables in long form: table, row, column, value (unrounded)."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("table", "row", "column", "value"))
    for table in found:
        for row in table.rows:
            name = " / ".join(str(value) for value in row[: table.keys])
            for column, value in zip(table.header[table.keys :], row[table.keys :], strict=True):
                writer.writerow((table.title, name, column, "" if value is None else value))
    return stream.getvalue()


def _errors(rows: Sequence[Row], marks: dict[str, str]) -> Iterable[Table]:
    """Mean HTER over seeds, one table per model and stream."""
    patterns = [pattern for pattern in MISSING_PATTERNS if any(row["missing"] == pattern for row in rows)]
    several, single = ([p for p in patterns if (p.count(",") == 1) == one] for one in (False, True))
    for (model, stream), own in group([row for row in rows if row["hter"] is not None], ("model", "stream")).items():
        lines: list[tuple[Value, ...]] = []
        for method, cells in group(own, ("method",)).items():
            targets = [*group(cells, ("target",)), ("mean",)]
            for (target,) in targets:
                here = [row for row in cells if target in ("mean", row["target"])]
                by_pattern = {p: _mean(row["hter"] for row in here if row["missing"] == p) for p in patterns}
                means = [_mean(by_pattern[p] for p in chosen) for chosen in (several, single)]
                values = [_percent(value) for value in (*by_pattern.values(), *means)]
                lines.append((f"{method[0]}{marks[method[0]]}", target, *values))
        names = tuple(f"without {p}" if p else "nothing missing" for p in patterns)
        yield Table(
            f"HTER, {model}, stream {stream}",
            "Per cent at the source threshold, by presentation, mean over seeds. * = scores depend on the batch.",
            ("method", "target", *names, "mean of 2 and 3 modalities", "mean of 1 modality"),
            2,
            tuple(lines),
        )


def _against_source(found: Sequence[Row], marks: dict[str, str]) -> Table:
    lines: list[tuple[Value, ...]] = []
    for entry in found:
        worst = entry["worst"]
        where = f"{worst['target']}, without {worst['missing'] or 'nothing'}"
        span = f"{100 * worst['difference']:+.1f} [{100 * worst['low']:+.1f}, {100 * worst['high']:+.1f}]"
        name = f"{entry['method']}{marks[entry['method']]}"
        lines.append(
            (
                *(f"{entry['model']} s{entry['training_seed']}", entry["stream"], name),
                *(_percent(entry["mean_difference"]), f"{entry['wins']} / {entry['ties']} / {entry['losses']}"),
                *(where, span),
            )
        )
    return Table(
        f"HTER against {BASELINE}",
        f"Percentage points, negative = fewer errors. A win or a loss is a cell (target and pattern) whose paired "
        f"bootstrap over people, all stream seeds together, differs from 0 at {LEVEL:g} after Holm's correction over "
        "the cells of the row. The worst cell stands with its uncorrected 95 % interval.",
        ("model", "stream", "method", "mean difference", "wins / ties / losses", "worst cell", "there"),
        3,
        tuple(lines),
    )


def _probe(rows: Sequence[Row], marks: dict[str, str]) -> Table:
    lines: list[tuple[Value, ...]] = []
    adapted = [row for row in rows if row["method"] != BASELINE]
    for (stream, model, method), own in group(adapted, ("stream", "model", "method")).items():
        changes: list[Value] = []
        for metric in ("apcer_max", "bpcer"):
            for moment in ("after", "worst"):
                gaps = [_gap(row, metric, moment) for row in own]
                changes += [_percent(_mean(gaps)), _percent(max((g for g in gaps if g is not None), default=None))]
        lines.append((stream, model, f"{method}{marks[method]}", *changes, _mean(row["steps_taken"] for row in own)))
    header = [
        f"{metric} {moment}, {kind}"
        for metric in ("APCER(max)", "BPCER")
        for moment in ("at the end", "at its worst")
        for kind in ("mean", "worst cell")
    ]
    return Table(
        "Held-out people, before and after",
        "Change of the error on the probe against the unadapted model, percentage points; positive = damage. At its "
        "worst = the worst of the end and the checkpoints on the way. Mean and worst over targets, patterns, seeds.",
        ("stream", "model", "method", *header, "updates"),
        3,
        tuple(lines),
    )


def _gap(row: Row, metric: str, moment: str) -> float | None:
    before, value = row[f"probe_{metric}_before"], row[f"probe_{metric}_{moment}"]
    return None if before is None or value is None else float(value - before)


def _pseudo_labels(rows: Sequence[Row], marks: dict[str, str]) -> Table:
    lines: list[tuple[Value, ...]] = []
    adapted = [row for row in rows if row["method"] != BASELINE]
    for (stream, model, method), own in group(adapted, ("stream", "model", "method")).items():
        cells: list[Value] = [_percent(_mean(row["accepted_share"] for row in own))]
        for label in ("bona_fide", "attack"):
            count = sum(row[f"pseudo_labels_{label}"] for row in own)
            known = [row for row in own if row[f"pseudo_labels_{label}"]]
            right = sum(row[f"pseudo_label_accuracy_{label}"] * row[f"pseudo_labels_{label}"] for row in known)
            cells += [_percent(right / count) if count else None, count]
        cells += [sum(row["pseudo_labels_neither"] for row in own), _mean(row["steps_taken"] for row in own)]
        if any(row["accepted_share"] for row in own):
            lines.append((stream, model, f"{method}{marks[method]}", *cells))
    return Table(
        "Pseudo labels",
        "Captures that passed the gate, before quotas, over all cells: how many, and how many per cent were right.",
        (
            *("stream", "model", "method", "accepted"),
            *("bona fide right", "bona fide labels", "attack right", "attack labels"),
            *("labels of what is neither", "updates"),
        ),
        3,
        tuple(lines),
    )


def _cost(found: Sequence[Row], marks: dict[str, str]) -> Table:
    lines = tuple(
        (entry["model"], f"{entry['method']}{marks.get(entry['method'], '')}", entry["relative"]) for entry in found
    )
    return Table(
        "Speed",
        f"Captures a second over those of {BASELINE}, timed in turn in one process on one thread, without stored maps.",
        ("model", "method", "relative"),
        2,
        lines,
    )


def _failures(rows: Sequence[Row]) -> Table:
    keys = ("model", "stream", "method", "target", "missing", "seed")
    failed = [row for row in rows if row["status"] != "ok"]
    lines = tuple((*(str(row[key]) for key in keys), row["status"].replace("|", "/")) for row in failed)
    return Table("Failed cells", "They are tried again by the next run.", (*keys, "status"), len(keys), lines)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _text(value: Value) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
