"""HTER and AUC per target and missing pattern, as papers print them: mean over stream seeds, with their spread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import stdev

from mfas.benchmark.bench_config import BASELINE
from mfas.benchmark.bench_statistics import Row, group
from mfas.core import MISSING_PATTERNS
from mfas.report.bench_data import Spread, Table, Value

Seed = tuple[int, int]
Figures = dict[tuple[str, str], dict[Seed, float]]
"""By target and pattern, then by training and stream seed."""
MEAN = "mean"
METRICS = {"hter": "HTER", "auc": "AUC"}


def error_tables(rows: Sequence[Row], marks: Mapping[str, str]) -> Iterable[Table]:
    """One table per model, stream and metric; transductive methods, beside the baseline, in tables of their own."""
    for (model, stream), own in group(rows, ("model", "stream")).items():
        for transductive in (False, True):
            names = {row["method"] for row in own if bool(row.get("transductive")) == transductive}
            chosen = [row for row in own if row["method"] in names | {BASELINE}]
            if names <= ({BASELINE} if transductive else set()):
                continue
            kind = ", transductive methods" if transductive else ""
            for metric, title in METRICS.items():
                yield _table(f"{title}, {model}, stream {stream}{kind}", chosen, metric, marks)


def spread(values: Iterable[float]) -> Spread | None:
    """Mean and sample standard deviation; None of nothing."""
    known = list(values)
    if not known:
        return None
    return Spread(sum(known) / len(known), stdev(known) if len(known) > 1 else None)


def mean_over(figures: Figures, places: Sequence[tuple[str, str]]) -> dict[Seed, float]:
    """The mean over all ``places``, by seed; only seeds for which each of them was run."""
    if not places:
        return {}
    shared = set.intersection(*(set(figures.get(place, {})) for place in places))
    return {seed: sum(figures[place][seed] for place in places) / len(places) for seed in sorted(shared)}


def figures_of(rows: Iterable[Row], metric: str) -> Figures:
    """A metric of one method's rows."""
    out: Figures = {}
    for row in rows:
        if row[metric] is not None:
            out.setdefault((row["target"], row["missing"]), {})[row["training_seed"], row["seed"]] = row[metric]
    return out


def axes_of(rows: Iterable[Row]) -> tuple[list[str], list[str]]:
    """Targets in order of appearance, and patterns in canonical order."""
    known = list(rows)
    patterns = {row["missing"] for row in known}
    return list(dict.fromkeys(row["target"] for row in known)), [p for p in MISSING_PATTERNS if p in patterns]


def _table(title: str, rows: Sequence[Row], metric: str, marks: Mapping[str, str]) -> Table:
    targets, patterns = axes_of(rows)
    columns: list[tuple[str, list[str]]] = [(f"without {p}" if p else "nothing missing", [p]) for p in patterns]
    several, single = ([p for p in patterns if (p.count(",") == 1) == one] for one in (False, True))
    columns += [("mean of 2 and 3 modalities", several)] if several else []
    columns += [("mean of 1 modality", single)] if single else []
    lines: list[tuple[Value, ...]] = []
    for (method,), own in group(rows, ("method",)).items():
        figures = figures_of(own, metric)
        for target in (*targets, MEAN):
            over = targets if target == MEAN else [target]
            cells = [mean_over(figures, [(t, p) for t in over for p in chosen]) for _, chosen in columns]
            values = [spread(100 * value for value in cell.values()) for cell in cells]
            if any(value is not None for value in values):
                lines.append((f"{method}{marks[method]}", target, *values))
    note = (
        f"Per cent, by presentation{', at the source threshold' if metric == 'hter' else ''}; mean over seeds ± "
        "standard deviation between them. A mean stands only where all of its cells were run."
    )
    return Table(title, note, ("method", "target", *(name for name, _ in columns)), 2, tuple(lines))
