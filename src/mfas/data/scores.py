"""The score table: what every model and method answers, and the exchange format of `mfas evaluate`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mfas.core import UNKNOWN_SPECIES, Label, Outcome
from mfas.data._columns import number_column, read_table, text_column, write_table
from mfas.errors import ScoreError

SCORE_COLUMNS: dict[str, str] = {
    "capture_id": "text",
    "presentation_id": "text",
    "subject": "text",
    "site": "text",
    "label": "text",
    "species": "text",
    "missing": "text",
    "present": "text",
    "model": "text",
    "method": "text",
    "seed": "integer",
    "step": "integer",
    "outcome": "text",
    "score": "number",
}
"""Columns of a score table and their types, in the order they are written."""
RUN_KEYS = ("site", "missing", "model", "method", "seed")
"""What tells one run from another."""


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """Scores in [0, 1], higher = bona fide; ``table`` has exactly the columns of `SCORE_COLUMNS`, nothing null.

    ``score`` is NaN where ``outcome`` is ``non_response``, and only there. ``seed`` and ``step`` are 0 unless told.
    """

    table: pa.Table

    @staticmethod
    def from_columns(columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> ScoreTable:
        """Build from columns of equal length; defaults and checks as `read_scores`."""
        return ScoreTable.from_table(pa.table({name: _arrow(values) for name, values in columns.items()}))

    @staticmethod
    def from_table(table: pa.Table, origin: str = "scores") -> ScoreTable:
        """Apply defaults and check; columns of other names are dropped. Raises `ScoreError` naming row and column."""
        for name in ("label", "score"):
            if name not in table.column_names:
                raise ScoreError(f"{origin}: expected at least the columns label, species, score, got no '{name}'")
        fixed = _normalise(table, origin)
        _check(fixed, origin)
        return ScoreTable(fixed)

    @staticmethod
    def concat(tables: Iterable[ScoreTable]) -> ScoreTable:
        """All rows of several tables, in order."""
        parts = [part.table for part in tables]
        if not parts:
            return ScoreTable.from_columns({"label": [], "score": []})
        return ScoreTable(pa.concat_tables(parts).combine_chunks())

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def column(self, name: str) -> NDArray[Any]:
        """A column as a numpy array (text columns have object type)."""
        values: NDArray[Any] = self.table.column(name).to_numpy()
        return values

    def where(self, **equal: str | int) -> ScoreTable:
        """The rows whose columns equal the values given, such as ``where(method="source", missing="depth")``."""
        table = self.table
        for name, value in equal.items():
            table = table.filter(pc.equal(table.column(name), value))
        return ScoreTable(table)

    def take(self, index: NDArray[Any]) -> ScoreTable:
        """The rows at ``index`` (positions or a mask)."""
        keep = np.flatnonzero(index) if index.dtype == np.bool_ else index
        return ScoreTable(self.table.take(pa.array(keep, pa.int64())))

    @property
    def non_responses(self) -> int:
        """How many rows got no answer."""
        return int(np.count_nonzero(self.column("outcome") == Outcome.NON_RESPONSE.value))

    def by_presentation(self) -> ScoreTable:
        """One row per presentation and run: the mean over its scored captures, a non-response if none was scored.

        ``capture_id`` becomes the presentation's, ``step`` that of its first capture, ``present`` its first answer's.
        Rows stand in order of first appearance.
        """
        keys = ["presentation_id", *RUN_KEYS]
        score = self.table.column("score")
        ready = self.table.set_column(
            self.table.column_names.index("score"), "score", pc.if_else(pc.is_nan(score), None, score)
        )
        firsts = [(name, "first") for name in ("subject", "label", "species", "present", "step")]
        # the order of groups is not promised: rows are numbered, and the groups sorted by their first row
        ready = ready.append_column("row", pa.array(np.arange(len(self))))
        sums = [*firsts, ("score", "mean"), ("row", "min")]
        grouped = ready.group_by(keys, use_threads=False).aggregate(sums).sort_by("row_min")
        columns = {name: grouped.column(name) for name in keys}
        columns |= {name: grouped.column(f"{name}_first") for name, _ in firsts}
        mean = grouped.column("score_mean")
        columns["score"] = pc.fill_null(mean, float("nan"))
        columns["outcome"] = pc.if_else(pc.is_null(mean), Outcome.NON_RESPONSE.value, Outcome.SCORED.value)
        columns["capture_id"] = columns["presentation_id"]
        return ScoreTable(pa.table({name: columns[name] for name in SCORE_COLUMNS}).combine_chunks())


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Scored rows by class: arrays of scores beside arrays of units (subject names) for the bootstrap.

    ``unit`` is ``subject``, or ``presentation`` when any row has no subject. ``*_non_response`` count unanswered rows.
    """

    bona_fide: NDArray[np.float64]
    attacks: dict[str, NDArray[np.float64]]
    bona_fide_units: NDArray[Any]
    attack_units: dict[str, NDArray[Any]]
    unit: str
    bona_fide_non_response: int
    attack_non_response: dict[str, int]


def read_scores(path: Path) -> ScoreTable:
    """Read a score table, ours or a foreign CSV that has only ``label, species, score`` (and perhaps ``subject``).

    Absent columns get defaults: each row its own capture and presentation, ``outcome`` scored, the rest empty or 0.
    Raises `ScoreError` for an unknown label, a score outside [0, 1], or a scored row without a score.
    """
    path = Path(path)
    return ScoreTable.from_table(read_table(path, "score table", ScoreError), str(path))


def write_scores(scores: ScoreTable, path: Path) -> None:
    """Write Parquet or CSV; the same table gives the same bytes."""
    write_table(scores.table, Path(path), "score table", ScoreError)


def split(scores: ScoreTable, keys: Sequence[str] = RUN_KEYS) -> Iterator[tuple[tuple[Any, ...], ScoreTable]]:
    """Parts of equal ``keys``, in order of first appearance."""
    if not len(scores):
        return
    code = np.zeros(len(scores), np.int64)
    for name in keys:
        coded = scores.table.column(name).combine_chunks().dictionary_encode()
        code = code * max(len(coded.dictionary), 1) + coded.indices.to_numpy()
        code = np.unique(code, return_inverse=True)[1]
    _, first = np.unique(code, return_index=True)
    for at in np.sort(first).tolist():
        values = tuple(scores.table.column(name)[at].as_py() for name in keys)
        yield values, scores.take(code == code[at])


def bona_fide_and_attacks(scores: ScoreTable) -> ClassScores:
    """Split a table (of captures or, better, of presentations) into bona fide and attacks by species."""
    label, species = scores.column("label"), scores.column("species")
    score, subject = scores.column("score"), scores.column("subject")
    unit = "subject" if len(scores) and bool(np.all(subject != "")) else "presentation"
    units = subject if unit == "subject" else scores.column("presentation_id")
    answered = scores.column("outcome") == Outcome.SCORED.value
    bona_fide = label == Label.BONA_FIDE.value
    attack = label == Label.ATTACK.value
    names = sorted(set(species[attack].tolist()))
    rows = {name: attack & (species == name) for name in names}
    return ClassScores(
        bona_fide=score[bona_fide & answered],
        attacks={name: score[rows[name] & answered] for name in names},
        bona_fide_units=units[bona_fide & answered],
        attack_units={name: units[rows[name] & answered] for name in names},
        unit=unit,
        bona_fide_non_response=int(np.count_nonzero(bona_fide & ~answered)),
        attack_non_response={name: int(np.count_nonzero(rows[name] & ~answered)) for name in names},
    )


def _arrow(values: Sequence[Any] | NDArray[Any]) -> pa.Array:
    if isinstance(values, np.ndarray):
        return pa.array(values)
    return pa.array([v.value if isinstance(v, Label | Outcome) else v for v in values])


def _normalise(table: pa.Table, origin: str) -> pa.Table:
    columns: dict[str, pa.Array] = {}
    for name, kind in SCORE_COLUMNS.items():
        if kind == "text":
            columns[name] = text_column(table, name)
            continue
        values, bad, text = number_column(table, name)
        if bad is not None:
            raise ScoreError(f"{origin}: row {bad + 1}, column {name}: expected a number, got '{text}'")
        if kind == "integer":
            whole = np.nan_to_num(values.to_numpy(zero_copy_only=False), nan=0.0, posinf=0.0, neginf=0.0)
            values = pa.array(whole.astype(np.int64))
        columns[name] = values
    count = table.num_rows
    if pc.any(pc.equal(columns["capture_id"], "")).as_py():
        numbered = pa.array([f"row-{i + 1}" for i in range(count)], pa.string())
        columns["capture_id"] = pc.if_else(pc.equal(columns["capture_id"], ""), numbered, columns["capture_id"])
    for name, default in (("presentation_id", columns["capture_id"]), ("outcome", Outcome.SCORED.value)):
        columns[name] = pc.if_else(pc.equal(columns[name], ""), default, columns[name])
    attack = pc.equal(columns["label"], Label.ATTACK.value)
    named = pc.if_else(pc.equal(columns["species"], ""), UNKNOWN_SPECIES, columns["species"])
    columns["species"] = pc.if_else(attack, named, "")
    return pa.table(columns)


def _check(table: pa.Table, origin: str) -> None:
    def refuse(bad: NDArray[np.bool_], name: str, expected: str) -> None:
        if bad.any():
            at = int(np.argmax(bad))
            got = table.column(name)[at].as_py()
            shown = f"'{got}'" if isinstance(got, str) else f"{got:g}"
            raise ScoreError(f"{origin}: row {at + 1}, column {name}: expected {expected}, got {shown}")

    column = {name: table.column(name).to_numpy() for name in ("label", "outcome", "score")}
    for name, allowed in (("label", ("bona_fide", "attack", "")), ("outcome", ("scored", "non_response"))):
        listed = " or ".join(value for value in allowed if value)
        refuse(~np.isin(column[name].astype(str), allowed), name, listed)
    scored = column["outcome"] == Outcome.SCORED.value
    score = column["score"]
    refuse(scored & np.isnan(score), "score", "a number for a scored row (or outcome non_response)")
    with np.errstate(invalid="ignore"):
        refuse(scored & ~((score >= 0) & (score <= 1)), "score", "a score in [0, 1]")
    refuse(~scored & ~np.isnan(score), "score", "an empty score for a non_response")
    check_presentations(table, origin)


def check_presentations(table: pa.Table, origin: str) -> None:
    """A presentation has one label, one species, one subject; `ScoreError` names one that has more."""
    for name in ("label", "species", "subject"):
        kinds = table.group_by(["presentation_id"], use_threads=False).aggregate([(name, "count_distinct")])
        odd = pc.index(pc.greater(kinds.column(f"{name}_count_distinct"), 1), True).as_py()
        if odd >= 0:
            who = kinds.column("presentation_id")[odd].as_py()
            raise ScoreError(f"{origin}: column {name}: presentation '{who}' has more than one {name}")
