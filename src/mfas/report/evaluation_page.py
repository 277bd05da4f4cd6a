"""The page of ``mfas evaluate``: ISO/IEC 30107-3 figures of one score file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mfas import metrics
from mfas._files import write_text
from mfas.metrics import Metrics
from mfas.report import _text, figures, tables
from mfas.report._render import render
from mfas.report.data import ScoreGroup
from mfas.report.tables import Cell, Row


def write_evaluation(
    found: Metrics,
    scores: ScoreGroup,
    path: Path,
    source_name: str,
    *,
    command: str = "",
    environment: Mapping[str, Any] | None = None,
) -> None:
    """Write the page atomically. ``found`` is `metrics.evaluate` of ``scores``; ``source_name`` says whose scores."""
    write_text(path, build_evaluation(found, scores, source_name, command=command, environment=environment))


def build_evaluation(
    found: Metrics,
    scores: ScoreGroup,
    source_name: str,
    *,
    command: str = "",
    environment: Mapping[str, Any] | None = None,
) -> str:
    """The page as text; the same data give the same bytes."""
    run = found.to_dict()
    both = bool(found.n_bona_fide and found.n_attack)
    error = metrics.expected_calibration_error(scores.bona_fide, scores.attacks) if both else None
    return render(
        "evaluation.html.j2",
        source_name=source_name,
        found=found,
        cards=_cards(found),
        summary=_summary(found),
        rates=[Row(title, _MEANING[name], (tables.metric_cell(run, name),)) for name, title in tables.AT_THRESHOLD],
        own=[Row(title, _MEANING[name], (tables.metric_cell(run, name),)) for name, title in tables.OWN_THRESHOLD],
        species=[_species_row(run, name, count) for name, count in found.n_attack_by_species.items()],
        threshold=_text.decimal(found.threshold),
        silent=[(_text.plain(name), count) for name, count in found.non_response_by_class.items()],
        det=figures.det_species(scores) if both else "",
        histogram=figures.histograms([scores]),
        reliability=figures.reliability(scores) if both else "",
        calibration=_text.decimal(error),
        command=command,
        environment=tables.settings(environment or {}),
    )


_MEANING = {
    "bpcer": "bona fide presentations rejected",
    "apcer_max": "attacks accepted, worst species: the ISO headline",
    "apcer": "attacks accepted, all species in one pool",
    "hter": "mean of APCER pooled and BPCER",
    "acer": "mean of APCER worst species and BPCER",
    "hter_eer": "error where both rates are equal, threshold from these scores",
    "auc": "chance that a bona fide outscores an attack",
    "bpcer_at_apcer_10pct": "every species held at 10 % or below",
    "bpcer_at_apcer_5pct": "every species held at 5 % or below",
    "bpcer_at_apcer_1pct": "every species held at 1 % or below",
    "tpr_at_fpr_1pct": "bona fide accepted, pooled attacks at 1 % or below",
    "tpr_at_fpr_0_1pct": "bona fide accepted, pooled attacks at 0.1 % or below",
}


def _species_row(run: Mapping[str, Any], name: str, count: int) -> Row:
    cell = tables.species_cell(run, name)
    interval = run["intervals"].get(f"apcer_by_species.{name}") or {}
    boot = _text.span(interval) if interval.get("method") == "bootstrap" else ""
    silent = run["non_response_by_class"].get(name, 0)
    return Row(
        _text.plain(name), "", (Cell(str(count)), Cell(cell.value, boot, cell.exact, cell.tone), Cell(str(silent)))
    )


def _cards(found: Metrics) -> list[tuple[str, str, str]]:
    """Name, value and interval of the three figures to read first."""
    names = (
        ("apcer_max", "bpcer", "hter") if found.threshold is not None else ("hter_eer", "auc", "bpcer_at_apcer_5pct")
    )
    titles = dict((*tables.AT_THRESHOLD, *tables.OWN_THRESHOLD))
    cells = [(name, tables.metric_cell(found.to_dict(), name)) for name in names]
    return [(titles[name], cell.value, cell.interval or cell.exact) for name, cell in cells]


def _summary(found: Metrics) -> str:
    kinds = len(found.n_attack_by_species)
    people = f"{found.n_subjects} subjects" if found.n_subjects else "an unknown number of subjects"
    text = (
        f"{found.n_bona_fide} bona fide and {found.n_attack} attack scores of {kinds} "
        f"{'species' if kinds != 1 else 'species only'}, from {people}."
    )
    if found.threshold is None:
        return f"{text} No threshold was given: only figures that need none are shown."
    parts = []
    if found.bpcer is not None:
        parts.append(f"{_text.percent(found.bpcer)} of bona fide presentations are rejected")
    if found.apcer_by_species and found.apcer_max is not None:
        worst = max(found.apcer_by_species, key=lambda name: (found.apcer_by_species or {})[name])
        parts.append(f"at worst {_text.percent(found.apcer_max)} of a species ({_text.plain(worst)}) is accepted")
    return f"{text} At threshold {_text.decimal(found.threshold)}, {' and '.join(parts)}."
