"""Rows of ``results.json``: one run = one method on one target under one missing pattern with one seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from mfas.data.scores import ScoreTable, bona_fide_and_attacks
from mfas.errors import ScoreError
from mfas.metrics.intervals import DRAWS
from mfas.metrics.paired import Difference, paired_bootstrap
from mfas.metrics.summary import Metrics, evaluate
from mfas.report.data import ScoreGroup


def metrics_of(scores: ScoreTable, threshold: float | None, *, seed: int = 0, draws: int = 2000) -> Metrics:
    """Figures of a table whose rows are presentations (`ScoreTable.by_presentation`)."""
    parts = bona_fide_and_attacks(scores)
    silent = {"bona_fide": parts.bona_fide_non_response, **parts.attack_non_response}
    named = parts.unit == "subject"
    return evaluate(
        parts.bona_fide,
        {name: values for name, values in parts.attacks.items() if len(values)},
        threshold,
        bona_fide_subjects=parts.bona_fide_units.tolist() if named else None,
        attack_subjects={n: u.tolist() for n, u in parts.attack_units.items() if len(u)} if named else None,
        non_response=silent,
        seed=seed,
        draws=draws,
    )


def score_group(scores: ScoreTable, name: str, threshold: float | None) -> ScoreGroup:
    """What curves and histograms are drawn from: one run's presentations."""
    parts = bona_fide_and_attacks(scores)
    named = parts.unit == "subject"
    return ScoreGroup(
        name=name,
        missing=str(scores.table.column("missing")[0].as_py()),
        method=str(scores.table.column("method")[0].as_py()),
        bona_fide=parts.bona_fide,
        attacks={n: values for n, values in parts.attacks.items() if len(values)},
        threshold=threshold,
        bona_fide_subjects=parts.bona_fide_units.tolist() if named else None,
        attack_subjects={n: u.tolist() for n, u in parts.attack_units.items() if len(u)} if named else None,
    )


def run_row(
    scores: ScoreTable,
    threshold: float,
    facts: Mapping[str, Any],
    *,
    unit: str = "presentation",
    draws: int = 2000,
) -> dict[str, Any]:
    """One JSON-safe row: ``facts`` (protocol, sources, target, stream, steps_taken, seconds …) and every metric.

    ``scores`` holds the captures of one run; ``unit`` says whether they are averaged per presentation first.
    """
    table = scores.by_presentation() if unit == "presentation" else scores
    keys = ("missing", "model", "method", "seed")
    own = {key: table.table.column(key)[0].as_py() for key in keys}
    figures = metrics_of(table, threshold, draws=draws).to_dict()
    return {**facts, **own, "unit": unit, **figures, "status": "ok"}


def compare(
    before: ScoreTable, after: ScoreTable, threshold: float, metric: str = "hter", *, draws: int = DRAWS
) -> Difference:
    """Paired difference of two runs over the same captures, by presentation, at one threshold.

    Tables of several stream seeds may be joined: their presentations are pooled, and people drawn over all of them.
    """
    tables = [table.by_presentation() for table in (before, after)]
    if not (tables[0].column("presentation_id") == tables[1].column("presentation_id")).all():
        raise ScoreError("expected two runs over the same presentations in the same order")
    first, second = (bona_fide_and_attacks(table) for table in tables)
    return paired_bootstrap(
        (first.bona_fide, first.attacks),
        (second.bona_fide, second.attacks),
        thresholds=(threshold, threshold),
        bona_fide_subjects=first.bona_fide_units.tolist(),
        attack_subjects={n: u.tolist() for n, u in first.attack_units.items()},
        metric=metric,
        draws=draws,
    )


def with_differences(rows: Iterable[dict[str, Any]], tables: Mapping[tuple[str, str], ScoreTable]) -> None:
    """Add ``hter_difference`` (hter, against ``source`` under the same pattern) to every adapted row, in place.

    ``tables`` maps (method, missing) to the captures of that run.
    """
    for row in rows:
        if row["method"] != "source" and row["hter"] is not None:
            before = tables["source", row["missing"]]
            found = compare(before, tables[row["method"], row["missing"]], row["threshold"])
            row["hter_difference"] = asdict(found)
