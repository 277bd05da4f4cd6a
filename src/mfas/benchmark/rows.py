"""Predictions to rows of a score table. The one place of a stream that sees labels; adapters never do."""

from __future__ import annotations

from typing import Any

import numpy as np

from mfas.core import MODALITIES, Outcome, Prediction, format_modalities
from mfas.data.dataset import LoadedBatch
from mfas.data.manifest import Manifest
from mfas.data.scores import SCORE_COLUMNS, ScoreTable

_FROM_MANIFEST = ("capture_id", "presentation_id", "subject", "site", "label", "species")


class ScoreRows:
    """Collects the rows of one run."""

    def __init__(self, manifest: Manifest, missing: str, model: str, method: str, seed: int) -> None:
        self._cells = {name: manifest.column(name) for name in _FROM_MANIFEST}
        self._row_of = {name: i for i, name in enumerate(self._cells["capture_id"].tolist())}
        self._constant = {"missing": missing, "model": model, "method": method, "seed": seed}
        self._rows: list[dict[str, Any]] = []
        self._step = 0

    def scored(self, item: LoadedBatch, prediction: Prediction, step: int) -> None:
        """Add the captures of a batch."""
        self._step = step
        score = prediction.score.double().cpu().numpy()
        present = prediction.present.cpu().numpy()
        for i, row in enumerate(item.rows):
            used = format_modalities(m for k, m in enumerate(MODALITIES) if present[i, k])
            self._add(row, used, Outcome.SCORED, float(score[i]), step)

    def unanswered(self, item: LoadedBatch) -> None:
        """Add the captures that came up without an answer."""
        for lost in item.non_responses:
            self._add(self._row_of[lost.capture_id], "", Outcome.NON_RESPONSE, float("nan"), self._step)

    def drain(self) -> ScoreTable | None:
        """The rows since the last drain as a table; None when there are none."""
        rows, self._rows = self._rows, []
        if not rows:
            return None
        return ScoreTable.from_columns({name: _column([row[name] for row in rows]) for name in SCORE_COLUMNS})

    def _add(self, row: int, present: str, outcome: Outcome, score: float, step: int) -> None:
        cells = {name: str(values[row]) for name, values in self._cells.items()}
        answer = {"present": present, "outcome": outcome.value, "score": score, "step": step}
        self._rows.append({**cells, **self._constant, **answer})


def _column(values: list[Any]) -> Any:
    return np.array(values, dtype=object if isinstance(values[0], str) else None)
