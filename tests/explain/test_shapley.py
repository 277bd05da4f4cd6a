"""Shapley values and interactions against games solved by hand."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfas.core import MODALITIES, Modality
from mfas.explain.shapley import Coalition, coalitions, interactions, shapley

RGB, DEPTH, IR = MODALITIES
games = st.tuples(*[st.floats(-50, 50)] * 8).map(lambda v: dict(zip(coalitions(MODALITIES), v, strict=True)))


def by_orders(game: dict[Coalition, float]) -> dict[Modality, float]:
    """Shapley's own definition: the mean gain over all orders in which the players may come."""
    total = dict.fromkeys(MODALITIES, 0.0)
    for order in permutations(MODALITIES):
        for place, m in enumerate(order):
            before = frozenset(order[:place])
            total[m] += (game[before | {m}] - game[before]) / 6
    return total


@given(games)
def test_values_are_the_mean_gain_over_all_orders(game: dict[Coalition, float]) -> None:
    found, expected = shapley(game), by_orders(game)
    assert all(abs(found[m] - expected[m]) < 1e-9 for m in MODALITIES)
    assert abs(sum(found.values()) - (game[frozenset(MODALITIES)] - game[frozenset()])) < 1e-9


def test_what_adds_up_does_not_interact() -> None:
    worth = {RGB: 1.0, DEPTH: -2.0, IR: 4.0}
    game = {some: 0.5 + sum(worth[m] for m in some) for some in coalitions(MODALITIES)}
    assert shapley(game) == pytest.approx(worth)
    assert interactions(game) == pytest.approx({(RGB, DEPTH): 0.0, (RGB, IR): 0.0, (DEPTH, IR): 0.0})


def test_a_pair_that_is_needed_together_shares_its_worth() -> None:
    game = {some: 6.0 * ({RGB, IR} <= some) for some in coalitions(MODALITIES)}
    assert shapley(game) == pytest.approx({RGB: 3.0, DEPTH: 0.0, IR: 3.0})
    assert interactions(game) == pytest.approx({(RGB, DEPTH): 0.0, (RGB, IR): 6.0, (DEPTH, IR): 0.0})


def test_witnesses_that_say_the_same_interact_negatively() -> None:
    game = {some: 2.0 * bool(some) for some in coalitions([DEPTH, IR])}
    assert shapley(game) == pytest.approx({DEPTH: 1.0, IR: 1.0})
    assert interactions(game) == pytest.approx({(DEPTH, IR): -2.0})


def test_arrays_are_games_side_by_side() -> None:
    one = {some: float(len(some) ** 2) for some in coalitions(MODALITIES)}
    two = {some: 3.0 * (IR in some) for some in one}
    both = shapley({some: np.array([one[some], two[some]]) for some in one})
    assert all(both[m].tolist() == pytest.approx([shapley(one)[m], shapley(two)[m]]) for m in MODALITIES)


def test_a_single_modality_has_all_of_it() -> None:
    game = {frozenset(): 1.0, frozenset({DEPTH}): 4.0}
    assert shapley(game) == {DEPTH: 3.0}
    assert interactions(game) == {}


def test_a_coalition_without_a_value_is_named() -> None:
    game = {frozenset({RGB}): 1.0, frozenset({IR}): 1.0, frozenset({RGB, IR}): 1.0}
    with pytest.raises(ValueError, match="the empty one"):
        shapley(game)
    with pytest.raises(ValueError, match="ir"):
        interactions({frozenset(): 0.0, frozenset({RGB}): 1.0, frozenset({RGB, IR}): 1.0})
