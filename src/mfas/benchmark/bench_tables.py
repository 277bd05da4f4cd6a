"""The tables of a bench as data. Rates are per cent, differences percentage points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mfas.benchmark.bench_config import BASELINE
from mfas.benchmark.bench_error_tables import error_tables
from mfas.benchmark.bench_statistics import LEVEL, Row, group
from mfas.report.bench_data import Table, Value


def tables(result: dict[str, Any]) -> list[Table]:
    """Every table of a ``results.json`` that has something in it."""
    rows = [row for row in result["runs"] if row["status"] == "ok"]
    marks = marks_of(rows)
    found = [
        *error_tables(rows, marks),
        *against_tables(result["comparisons_summary"], rows),
        _probe(rows, marks),
        _pseudo_labels(rows, marks),
        _cost(result["cost"], marks),
        _failures(result["runs"]),
    ]
    return [table for table in found if table.rows]


def marks_of(rows: Iterable[Row]) -> dict[str, str]:
    """What stands behind a method's name: * where scores depend on the batch, † where the method is transductive."""
    return {
        row["method"]: ("" if row["batch_independent"] else "*") + ("†" if row.get("transductive") else "")
        for row in rows
    }


def against_tables(summed: Iterable[Row], rows: Sequence[Row]) -> Iterable[Table]:
    """One table per row compared with; transductive methods in tables of their own."""
    marks, transductive = marks_of(rows), {row["method"] for row in rows if row.get("transductive")}
    for (against,), own in group(summed, ("against",)).items():
        for apart in (False, True):
            chosen = [entry for entry in own if (entry["method"] in transductive) == apart]
            if chosen:
                kind = ", transductive methods" if apart else ""
                yield _against(f"HTER against {against}{kind}", chosen, marks)


def _against(title: str, found: Sequence[Row], marks: Mapping[str, str]) -> Table:
    lines: list[tuple[Value, ...]] = []
    for entry in found:
        worst = entry["worst"]
        where = f"{worst['target']}, without {worst['missing'] or 'nothing'}"
        span = f"{100 * worst['difference']:+.1f} {_interval(worst['low'], worst['high'])}"
        name = f"{entry['method']}{marks[entry['method']]}"
        lines.append(
            (
                *(f"{entry['model']} s{entry['training_seed']}", entry["stream"], name),
                *(_percent(entry["mean_difference"]), _interval(entry["mean_low"], entry["mean_high"])),
                *(f"{entry['wins']} / {entry['ties']} / {entry['losses']}", where, span),
            )
        )
    return Table(
        title,
        f"Percentage points, negative = fewer errors. A win or a loss is a cell (target and pattern) whose paired "
        f"bootstrap over people, all stream seeds together, differs from 0 at {LEVEL:g} after Holm's correction over "
        "the cells of the row. The interval of the mean draws people over all seeds, the same for all patterns of a "
        "target. The worst cell stands with its uncorrected 95 % interval.",
        ("model", "stream", "method", "mean difference", "95 %", "wins / ties / losses", "worst cell", "there"),
        3,
        tuple(lines),
    )


def _probe(rows: Sequence[Row], marks: Mapping[str, str]) -> Table:
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


def _pseudo_labels(rows: Sequence[Row], marks: Mapping[str, str]) -> Table:
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


def _cost(found: Sequence[Row], marks: Mapping[str, str]) -> Table:
    lines = tuple(
        (
            *(entry["model"], f"{entry['method']}{marks.get(entry['method'], '')}"),
            *(entry["relative"], 1 / entry["relative"], entry.get("state_mib")),
        )
        for entry in found
    )
    return Table(
        "Speed",
        f"Captures a second over those of {BASELINE}, and time over its time, measured in turn in one process on one "
        "thread, without stored maps; MiB that the method keeps beside the source model after these captures.",
        ("model", "method", "relative speed", "relative time", "kept, MiB"),
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


def _interval(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"[{100 * low:+.1f}, {100 * high:+.1f}]"
