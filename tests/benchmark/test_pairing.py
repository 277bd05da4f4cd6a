"""Paired differences: the same presentations must meet, whatever the method's name does to a hash table."""

from __future__ import annotations

import numpy as np
import pytest

from mfas.benchmark.results import compare
from mfas.data.scores import ScoreTable
from mfas.errors import ScoreError


def table(method: str, count: int = 400) -> ScoreTable:
    rng = np.random.default_rng(3)
    label = np.where(np.arange(count) % 2 == 0, "bona_fide", "attack")
    return ScoreTable.from_columns(
        {
            "capture_id": [f"c{i}" for i in range(count)],
            "presentation_id": [f"p{(i * 7919) % count}" for i in range(count)],
            "subject": [f"s{i % 37}" for i in range(count)],
            "label": label.tolist(),
            "species": ["" if x == "bona_fide" else "print_flat" for x in label],
            "method": [method] * count,
            "score": np.clip(rng.random(count) * 0.8 + 0.2 * (label == "bona_fide"), 0, 1),
        }
    )


@pytest.mark.parametrize("method", ["source", "mfas_danet", "tent", "another"])
def test_presentations_stand_in_order_of_first_appearance(method: str) -> None:
    scores = table(method)
    assert scores.by_presentation().column("presentation_id").tolist() == scores.column("presentation_id").tolist()


def test_equal_scores_differ_by_exactly_nothing_in_every_draw() -> None:
    found = compare(table("source"), table("mfas_danet"), 0.5)
    assert (found.difference, found.low, found.high) == (0.0, 0.0, 0.0)


def test_other_presentations_are_refused() -> None:
    with pytest.raises(ScoreError, match="same presentations"):
        compare(table("source"), table("mfas_danet").take(np.arange(399, -1, -1)), 0.5)
