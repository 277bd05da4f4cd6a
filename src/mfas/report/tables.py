"""Table cells: what a template prints, already in words and per cent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mfas.report import _text
from mfas.report.compare import Pair, Run, sort_runs
from mfas.report.figures import method_label
from mfas.report.narrative import mean_change

AT_THRESHOLD = (
    ("bpcer", "BPCER"),
    ("apcer_max", "APCER worst species"),
    ("apcer", "APCER pooled"),
    ("hter", "HTER"),
    ("acer", "ACER"),
)
OWN_THRESHOLD = (
    ("hter_eer", "HTER at test EER"),
    ("auc", "AUC"),
    ("bpcer_at_apcer_10pct", "BPCER at APCER 10 %"),
    ("bpcer_at_apcer_5pct", "BPCER at APCER 5 %"),
    ("bpcer_at_apcer_1pct", "BPCER at APCER 1 %"),
    ("tpr_at_fpr_1pct", "TPR at FPR 1 %"),
    ("tpr_at_fpr_0_1pct", "TPR at FPR 0.1 %"),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """A value, its bootstrap interval and its exact interval, as text; ``tone`` is a style name."""

    value: str
    interval: str = ""
    exact: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A labelled table row: ``head`` and ``sub`` name it, ``baseline`` marks the unadapted model."""

    head: str
    sub: str
    cells: tuple[Cell, ...]
    baseline: bool = False


def metric_cell(run: Run, name: str) -> Cell:
    """One figure of a run with its intervals."""
    value = run.get(name)
    if value is None:
        return Cell(_text.DASH)
    interval = (run.get("intervals") or {}).get(name) or {}
    rate = name != "auc"
    shown = _text.percent(value) if rate else _text.decimal(value)
    exact = _text.span(interval.get("clopper_pearson"))
    boot = _text.span(interval, rate=rate) if interval.get("method") == "bootstrap" else ""
    return Cell(shown, boot, exact)


def species_cell(run: Run, species: str) -> Cell:
    """APCER of one species with its exact interval."""
    value = (run.get("apcer_by_species") or {}).get(species)
    if value is None:
        return Cell(_text.DASH)
    interval = (run.get("intervals") or {}).get(f"apcer_by_species.{species}") or {}
    tone = "hot" if value > 0.15 else "warm" if value > 0.07 else ""
    return Cell(_text.percent(value), "", _text.span(interval.get("clopper_pearson")), tone)


def comparison(pairs: Sequence[Pair]) -> list[Row]:
    """Before, after, difference per pattern, and the means."""
    rows = [
        Row(
            _text.pattern(pair.missing),
            _text.lacking(pair.missing),
            (
                Cell(_text.percent(pair.before), _text.span(pair.before_interval)),
                Cell(_text.percent(pair.after), _text.span(pair.after_interval)),
                Cell(_text.points(pair.difference), _points_span(pair), tone=pair.verdict),
            ),
        )
        for pair in pairs
    ]
    several = [pair for pair in pairs if pair.sensors >= 2]
    for name, part in (("Mean, two or three sensors", several), ("Mean over all patterns", list(pairs))):
        if len(part) > 1:
            before, after, gap = mean_change(part)
            cells = Cell(_text.percent(before)), Cell(_text.percent(after)), Cell(_text.points(gap))
            rows.append(Row(name, f"{len(part)} patterns", cells, baseline=True))
    return rows


def iso_tables(runs: Sequence[Run]) -> dict[str, Any]:
    """Rows for the three ISO tables and the counts, runs in reading order."""
    ordered = sort_runs(runs)
    many = len({str(run.get("target", "")) for run in runs}) > 1
    species = sorted({name for run in ordered for name in (run.get("apcer_by_species") or {})})
    return {
        "at_threshold": [
            _row(run, many, [_threshold(run), *(metric_cell(run, n) for n, _ in AT_THRESHOLD)]) for run in ordered
        ],
        "own_threshold": [_row(run, many, [metric_cell(run, name) for name, _ in OWN_THRESHOLD]) for run in ordered],
        "by_species": [_row(run, many, [species_cell(run, name) for name in species]) for run in ordered],
        "species": [_text.plain(name) for name in species],
        "counts": [_row(run, many, _counts(run)) for run in ordered],
    }


def run_name(run: Run, *, many_targets: bool = False) -> tuple[str, str]:
    """What a row is called: the sensors, and what was run on them."""
    parts = [method_label(str(run.get("method", "")))]
    if many_targets:
        parts.append(_text.plain(str(run.get("target", ""))))
    return _text.pattern(str(run.get("missing") or "")), ", ".join(part for part in parts if part)


def facts(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """What all runs have in common: protocol, sites, model, unit, seeds."""
    found = []
    for key, name in (
        ("protocol", "Protocol"), ("sources", "Trained on"), ("target", "Target"), ("model", "Model"),
        ("method", "Methods"), ("stream", "Stream"), ("unit", "Unit of scores"), ("seed", "Seeds"),
    ):  # fmt: skip
        values = list(dict.fromkeys(_flat(run.get(key)) for run in runs if run.get(key) not in (None, "")))
        if values:
            found.append(
                (name, ", ".join(value if key in ("method", "model") else _text.plain(value) for value in values))
            )
    return found


def run_notes(runs: Sequence[Run]) -> list[tuple[str, int]]:
    """Every distinct note of the runs, with how many runs carry it."""
    counted: dict[str, int] = {}
    for run in runs:
        for note in [run["notes"]] if isinstance(run.get("notes"), str) else run.get("notes") or ():
            counted[str(note)] = counted.get(str(note), 0) + 1
    return list(counted.items())


def _row(run: Run, many_targets: bool, cells: Sequence[Cell]) -> Row:
    head, sub = run_name(run, many_targets=many_targets)
    return Row(head, sub, tuple(cells), run.get("method") == "source")


def _threshold(run: Run) -> Cell:
    return Cell(_text.decimal(run.get("threshold")))


def _counts(run: Run) -> list[Cell]:
    names = ("n_bona_fide", "n_attack", "n_subjects", "n_presentations", "non_response", "steps_taken")
    cells = [Cell(_text.DASH if run.get(name) is None else str(run[name])) for name in names]
    speed = run.get("captures_per_second")
    return [
        *cells,
        Cell(_text.decimal(run.get("seconds"), 1)),
        Cell(_text.decimal(speed, 1)),
        Cell(str(run.get("status") or "ok"), tone="" if run.get("status") in (None, "", "ok") else "worse"),
    ]


def _points_span(pair: Pair) -> str:
    if pair.low is None or pair.high is None:
        return ""
    return f"{_text.points(pair.low)} to {_text.points(pair.high)}"


def _flat(value: Any) -> str:
    return ", ".join(str(v) for v in value) if isinstance(value, list | tuple) else str(value)


def settings(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """A nested configuration as dotted keys and values."""
    rows: list[tuple[str, str]] = []
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            rows += settings(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", _flat(value)))
    return rows
