"""The search finds a planted optimum, spends what it was given, and is decided by full renders alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mfas.audit.search import Space, Target, Trial, Values, at_random, reflected, search, spread
from mfas.errors import InputError

pytest.importorskip("cma")

SPACE = Space(("a", "b", "c", "d"), (-1.0, 0.0, 10.0, 0.0), (1.0, 5.0, 20.0, 1.0))
OPTIMUM = {"a": 0.5, "b": 1.0, "c": 17.0, "d": 0.2}


def toy(values: Values) -> float:
    """A score in [0, 1] with its one top at OPTIMUM."""
    away = [
        (values[name] - OPTIMUM[name]) / (high - low)
        for name, low, high in zip(SPACE.names, SPACE.low, SPACE.high, strict=True)
    ]
    return float(np.exp(-4 * np.square(away).sum()))


def flat(values: Values) -> float:
    return 0.5


def unscored(values: Values) -> float:
    return float("nan")


def target(
    score: Callable[[Values], float] = toy, glance: Callable[[Values], float] | None = None, cost: float = 0.25
) -> Target[float]:
    return Target(score, list, glance, cost if glance else 0.0)


def test_a_known_optimum_is_found() -> None:
    found = search(SPACE, target(), budget=300, seed=0)
    assert found.best.score > 0.999
    for name, value in OPTIMUM.items():
        width = SPACE.high[SPACE.names.index(name)] - SPACE.low[SPACE.names.index(name)]
        assert found.best.values[name] == pytest.approx(value, abs=0.03 * width)
    assert found.best.score > at_random(SPACE, target(), budget=300, seed=0).best.score


def test_an_optimum_in_a_corner_is_found_and_nothing_leaves_the_box() -> None:
    def corner(values: Values) -> float:
        return (values["a"] + 1) / 4 + (5 - values["b"]) / 10

    found = search(SPACE, target(corner), budget=300, seed=0)
    assert found.best.score > 0.99
    for trial in found.trials:
        for name, low, high in zip(SPACE.names, SPACE.low, SPACE.high, strict=True):
            assert low <= trial.values[name] <= high


def test_a_detector_of_one_thing_is_beaten_by_that_thing() -> None:
    found = search(SPACE, target(lambda values: 0.9 if values["c"] > 19.5 else values["c"] / 40), budget=200, seed=1)
    assert found.best.score == 0.9
    assert found.best.values["c"] > 19.5
    assert len(found.accepted(0.8)) > len(at_random(SPACE, target(), budget=200, seed=1).accepted(2.0))


@pytest.mark.parametrize("ahead", [0, 3])
def test_the_same_seed_gives_the_same_search(ahead: int) -> None:
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    runs = [search(SPACE, target(glance=toy), budget=60, seed=seed, ahead=ahead) for seed in (4, 4, 5)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


@pytest.mark.parametrize(("ahead", "budget"), [(0, 1), (0, 37), (3, 2), (3, 50)])
def test_the_budget_is_spent_and_not_more(ahead: int, budget: int) -> None:
    rendered = []
    found = search(
        SPACE,
        Target(lambda values: rendered.append(values) or toy(values), list, toy, 0.25),
        budget=budget,
        seed=0,
        ahead=ahead,
    )
    assert found.cost == pytest.approx(len(rendered) + 0.25 * found.glances)
    assert budget - (1 + ahead * 0.25) < found.cost <= budget
    assert len(found.trials) == len(rendered)
    assert found.glances == (len(rendered) * ahead)


def test_a_converged_search_starts_again() -> None:
    found = search(SPACE, target(flat), budget=400, seed=0)
    assert len(found.trials) == 400


def test_previews_choose_and_never_decide() -> None:
    """A preview that likes everything low: it leads astray, yet what it claims is nowhere reported."""
    found = search(SPACE, target(glance=lambda values: 1 - toy(values)), budget=100, seed=0, ahead=4)
    assert all(trial.score == toy(trial.values) for trial in found.trials)
    assert all(trial.glanced == pytest.approx(1 - toy(trial.values)) for trial in found.trials)
    assert found.accepted(0.5) == tuple(trial for trial in found.trials if toy(trial.values) >= 0.5)


def test_a_good_and_cheap_preview_finds_sooner() -> None:
    spent = {}
    for ahead in (0, 4):
        runs = [search(SPACE, target(glance=toy, cost=0.02), budget=150, seed=seed, ahead=ahead) for seed in range(8)]
        spent[ahead] = np.median([run.first_accepted(0.97) or 150 for run in runs])
    assert spent[4] < spent[0]


def test_first_accepted_is_what_it_cost() -> None:
    found = at_random(SPACE, target(), budget=50, seed=3)
    first = next(i for i, trial in enumerate(found.trials) if trial.score >= 0.6)
    assert found.first_accepted(0.6) == first + 1
    assert found.first_accepted(1.1) is None


def test_those_kept_are_spread() -> None:
    def trial(x: float, score: float) -> Trial:
        return Trial((x, 0.0), {"x": x}, score, 1.0)

    crowd = [trial(0.5 + i / 1000, 0.9 + i / 1000) for i in range(10)]
    kept = spread([*crowd, trial(0.0, 0.7), trial(1.0, 0.8)], 3)
    assert kept[0] == crowd[-1]
    assert {t.values["x"] for t in kept[1:]} == {0.0, 1.0}
    assert len(spread(crowd, 50)) == 10
    assert spread([], 3) == spread(crowd, 0) == []


def test_steps_over_a_wall_come_back() -> None:
    assert reflected(np.array([-0.2, 0.3, 1.2, 2.4, -1.5])).tolist() == pytest.approx([0.2, 0.3, 0.8, 0.4, 0.5])


def test_bad_input_is_one_sentence() -> None:
    with pytest.raises(InputError, match="budget of 1 render"):
        search(SPACE, target(), budget=0, seed=0)
    with pytest.raises(InputError, match="budget of 1 render"):
        at_random(SPACE, target(), budget=0, seed=0)
    with pytest.raises(InputError, match="glance"):
        search(SPACE, target(), budget=10, seed=0, ahead=2)
    with pytest.raises(InputError, match=r"budget of 2\.5 renders"):
        search(SPACE, target(glance=toy), budget=2, seed=0, ahead=6)
    with pytest.raises(InputError, match="low < high"):
        Space(("a",), (1.0,), (1.0,))
    with pytest.raises(InputError, match="at least one parameter"):
        Space((), (), ())
    with pytest.raises(InputError, match="finite score"):
        search(SPACE, target(unscored), budget=10, seed=0)
