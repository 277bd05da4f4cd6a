"""Score tables: reading our own and foreign ones, rules, aggregation."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfas.core import Label, Outcome
from mfas.data.scores import SCORE_COLUMNS, ScoreTable, bona_fide_and_attacks, read_scores, split, write_scores
from mfas.errors import ScoreError

NAN = float("nan")


def table(**columns: Any) -> ScoreTable:
    base = {"label": ["bona_fide", "attack", "attack"], "species": ["", "print_flat", ""], "score": [0.9, 0.2, 0.4]}
    return ScoreTable.from_columns(base | columns)


def test_a_foreign_csv_is_enough(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("label,species,score,who cares\nattack,PAI-7,0.25,x\nbona_fide,live,0.75,y\n")
    scores = read_scores(tmp_path / "s.csv")
    assert scores.column("species").tolist() == ["PAI-7", ""]
    assert scores.column("presentation_id").tolist() == ["row-1", "row-2"]
    assert scores.column("outcome").tolist() == ["scored", "scored"]
    assert scores.table.column_names == list(SCORE_COLUMNS)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_round_trip_and_repeatable_bytes(tmp_path: Path, suffix: str) -> None:
    scores = table(score=[0.1 + 0.2, 1e-17, NAN], outcome=["scored", "scored", "non_response"], seed=[1, 2, 3])
    path = tmp_path / f"s.{suffix}"
    write_scores(scores, path)
    first = path.read_bytes()
    again = read_scores(path)
    for name in SCORE_COLUMNS:
        np.testing.assert_array_equal(again.column(name), scores.column(name))
    write_scores(again, path)
    assert path.read_bytes() == first


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"score": [0.9, NAN, 0.4]}, "row 2, column score: expected a number for a scored row"),
        ({"score": [0.9, 0.2, 1.01]}, "row 3, column score: expected a score in [0, 1], got 1.01"),
        ({"score": [-0.1, 0.2, 0.4]}, "row 1, column score: expected a score in [0, 1], got -0.1"),
        ({"score": ["0.9", "high", "0.4"]}, "row 2, column score: expected a number, got 'high'"),
        ({"score": [0.9, 0.2, float("inf")]}, "row 3, column score"),
        ({"label": ["bona_fide", "spoof", "attack"]}, "row 2, column label: expected bona_fide or attack, got 'spoof'"),
        ({"outcome": ["scored", "scored", "lost"]}, "row 3, column outcome"),
        ({"outcome": ["scored", "scored", "non_response"]}, "row 3, column score: expected an empty score"),
        ({"presentation_id": ["p", "p", "q"]}, "presentation 'p' has more than one label"),
        ({"presentation_id": ["p", "q", "q"]}, "presentation 'q' has more than one species"),
    ],
)  # fmt: skip
def test_what_is_refused(columns: dict[str, Any], expected: str) -> None:
    with pytest.raises(ScoreError) as caught:
        table(**columns)
    assert expected in str(caught.value)


def test_missing_columns_and_files(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("label,species\nattack,x\n")
    with pytest.raises(ScoreError, match="got no 'score'"):
        read_scores(tmp_path / "s.csv")
    with pytest.raises(ScoreError, match="score table not found"):
        read_scores(tmp_path / "none.csv")


def test_a_presentation_is_the_mean_of_its_scored_captures() -> None:
    scores = ScoreTable.from_columns(
        {
            "presentation_id": ["a", "b", "a", "b", "a", "a"],
            "label": [Label.ATTACK, Label.BONA_FIDE] * 2 + [Label.ATTACK] * 2,
            "species": ["x", "", "x", "", "x", "x"],
            "missing": ["", "", "", "", "", "depth"],
            "outcome": [Outcome.SCORED, Outcome.NON_RESPONSE, Outcome.NON_RESPONSE, Outcome.NON_RESPONSE]
            + [Outcome.SCORED] * 2,
            "score": [0.2, NAN, NAN, NAN, 0.4, 0.8],
            "step": [3, 4, 5, 6, 7, 8],
        }
    )
    grouped = scores.by_presentation()
    assert grouped.column("capture_id").tolist() == ["a", "b", "a"]
    np.testing.assert_allclose(grouped.column("score"), [0.3, NAN, 0.8])
    assert grouped.column("step").tolist() == [3, 4, 8]
    assert (scores.non_responses, grouped.non_responses) == (3, 1)
    assert grouped.where(missing="depth").column("score").tolist() == [0.8]


def test_parts_keep_their_order() -> None:
    scores = table(method=["b", "a", "b"], seed=[0, 0, 1])
    assert [(key, len(part)) for key, part in split(scores, ["method"])] == [(("b",), 2), (("a",), 1)]
    assert [key for key, _ in split(scores, ["method", "seed"])] == [("b", 0), ("a", 0), ("b", 1)]
    assert len(ScoreTable.concat([])) == 0
    assert list(split(ScoreTable.concat([]))) == []
    joined = ScoreTable.concat([part for _, part in split(scores, ["method"])])
    assert joined.column("score").tolist() == [0.9, 0.4, 0.2]


def test_classes_with_units_and_non_responses() -> None:
    scores = table(subject=["ann", "ann", "bob"], score=[0.9, 0.2, NAN], outcome=["scored", "scored", "non_response"])
    classes = bona_fide_and_attacks(scores)
    assert classes.bona_fide.tolist() == [0.9]
    assert {k: v.tolist() for k, v in classes.attacks.items()} == {"print_flat": [0.2], "unknown": []}
    assert classes.attack_units["print_flat"].tolist() == ["ann"]
    assert (classes.unit, classes.bona_fide_non_response) == ("subject", 0)
    assert classes.attack_non_response == {"print_flat": 0, "unknown": 1}
    assert bona_fide_and_attacks(table(subject=["ann", "", "bob"])).unit == "presentation"
