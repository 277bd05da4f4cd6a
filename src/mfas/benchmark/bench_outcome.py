"""From answers to the fields of a row: score tables, figures of the probe, correctness of pseudo labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from mfas.adaptation.contract import StepReport
from mfas.benchmark.bench_captures import Captures
from mfas.benchmark.bench_cells import Cell
from mfas.benchmark.results import metrics_of
from mfas.benchmark.stream import StreamItem
from mfas.core import MODALITIES, Label, Outcome, Prediction, format_modalities
from mfas.data.scores import ScoreTable
from mfas.errors import ScoreError

ROW_FILE = "row.json"
PROBE_FILE = "probe.parquet"
PROBE_METRICS = ("hter", "apcer_max", "bpcer")


class Answers:
    """One entry per arriving capture: ``score`` (NaN = no answer), ``present`` ``[N, 3]``, ``step``."""

    def __init__(self, count: int) -> None:
        self.score = np.full(count, np.nan)
        self.present = np.zeros((count, len(MODALITIES)), np.bool_)
        self.step = np.zeros(count, np.int64)

    def take(self, places: NDArray[np.int64], prediction: Prediction, step: int) -> None:
        """The prediction of a batch; `ScoreError` as `answered`."""
        self.score[places] = answered(prediction)
        self.present[places] = prediction.present.cpu().numpy()
        self.step[places] = step

    def table(self, captures: Captures, items: Sequence[StreamItem], truths: Sequence[str], cell: Cell) -> ScoreTable:
        """A row per capture; one that comes again is its own presentation, ``NAME#2`` the second time."""
        rows = captures.stream.rows[[item.row for item in items]]
        return _table(captures, rows, self, truths, cell, [f"#{i.visit + 1}" if i.visit else "" for i in items])


def answered(prediction: Prediction) -> NDArray[np.float64]:
    """Its scores ``[B]``. Raises `ScoreError` for one that is not finite.

    NaN means that a capture shows nothing, which counts in no error rate: a method may not get out of its errors so.
    """
    score: NDArray[np.float64] = prediction.score.double().cpu().numpy()
    lost = int(np.count_nonzero(~np.isfinite(score)))
    if lost:
        raise ScoreError(f"expected a finite score for every capture, got {lost} of {len(score)} that are not")
    return score


def _table(
    captures: Captures,
    rows: NDArray[np.int64],
    answers: Answers,
    truths: Sequence[str],
    cell: Cell,
    suffix: Sequence[str],
) -> ScoreTable:
    column = {n: captures.manifest.column(n)[rows] for n in ("capture_id", "presentation_id", "subject", "species")}
    constant = {"missing": cell.missing, "model": cell.model, "method": cell.method, "seed": cell.seed}
    count = len(rows)
    scored = ~np.isnan(answers.score)
    return ScoreTable.from_columns(
        {
            "capture_id": [f"{name}{end}" for name, end in zip(column["capture_id"], suffix, strict=True)],
            "presentation_id": [f"{name}{end}" for name, end in zip(column["presentation_id"], suffix, strict=True)],
            "subject": column["subject"].tolist(),
            "site": captures.site[rows].tolist(),
            "label": list(truths),
            "species": [s if t == Label.ATTACK.value else "" for s, t in zip(column["species"], truths, strict=True)],
            **{name: [value] * count for name, value in constant.items()},
            "present": [format_modalities(m for i, m in enumerate(MODALITIES) if row[i]) for row in answers.present],
            "step": answers.step,
            "outcome": [(Outcome.SCORED if known else Outcome.NON_RESPONSE).value for known in scored],
            "score": answers.score,
        }
    )


@overload
def probe_figures(
    captures: Captures, score: NDArray[np.float64], present: NDArray[np.bool_], cell: Cell, threshold: float
) -> dict[str, float | None]: ...
@overload
def probe_figures(
    captures: Captures,
    score: NDArray[np.float64],
    present: NDArray[np.bool_],
    cell: Cell,
    threshold: float,
    *,
    with_table: Literal[True],
) -> tuple[dict[str, float | None], ScoreTable]: ...
def probe_figures(
    captures: Captures,
    score: NDArray[np.float64],
    present: NDArray[np.bool_],
    cell: Cell,
    threshold: float,
    *,
    with_table: bool = False,
) -> Any:
    """`PROBE_METRICS` by presentation from ``score`` per row of the probe; the table too if asked."""
    rows = captures.probe.rows
    answers = Answers(len(rows))
    answers.score, answers.present = score, present
    truths = captures.manifest.column("label")[rows].astype(str).tolist()
    table = _table(captures, rows, answers, truths, cell, [""] * len(rows))
    found = metrics_of(table.by_presentation(), threshold, draws=0)
    figures = {name: getattr(found, name) for name in PROBE_METRICS}
    return (figures, table) if with_table else figures


def probe_fields(
    before: dict[str, float | None], checkpoints: Sequence[dict[str, Any]], after: dict[str, float | None]
) -> dict[str, Any]:
    """``probe_METRIC_before``, ``_after`` and ``_worst`` (of the checkpoints and the end), and the checkpoints."""
    out: dict[str, Any] = {}
    for name in PROBE_METRICS:
        known = [point[name] for point in (*checkpoints, after) if point[name] is not None]
        worst = max(known) if known else None
        out |= {f"probe_{name}_before": before[name], f"probe_{name}_after": after[name], f"probe_{name}_worst": worst}
    return out | {"probe_checkpoints": list(checkpoints)}


def pseudo_fields(reports: Sequence[StepReport], truths: Sequence[str]) -> dict[str, Any]:
    """How many captures passed the gate, before quotas, and how many of each pseudo label were right.

    Captures without a truth (noise, blends past the half) are counted apart in ``pseudo_labels_neither``.
    """
    counts = {label.value: [0, 0] for label in Label}
    neither = 0
    for report in reports:
        for capture, label in zip(report.accepted_ids, report.pseudo_labels, strict=True):
            real = truths[int(capture[1:])]
            if real:
                counts[label][0] += 1
                counts[label][1] += real == label
            else:
                neither += 1
    seen = sum(report.seen for report in reports)
    out: dict[str, Any] = {"accepted_share": sum(r.accepted for r in reports) / seen if seen else None}
    for label, (count, right) in counts.items():
        out[f"pseudo_labels_{label}"] = count
        out[f"pseudo_label_accuracy_{label}"] = right / count if count else None
    return out | {"pseudo_labels_neither": neither}
