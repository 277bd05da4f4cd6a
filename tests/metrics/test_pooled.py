"""The mean difference over conditions that share people."""

from __future__ import annotations

import numpy as np
import pytest

from mfas.errors import ScoreError
from mfas.metrics import PairedErrors, mean_hter_difference, paired_bootstrap


def errors(seed: int, people: int = 30, each: int = 6) -> PairedErrors:
    rng = np.random.default_rng(seed)
    unit = np.repeat([f"p{i}" for i in range(people)], each)
    attack = np.tile(np.arange(each) % 2 == 0, people)
    harm = np.repeat(rng.random(people) < 0.3, each)  # errors come by person
    return PairedErrors(unit, attack, rng.random(len(unit)) < 0.2, (rng.random(len(unit)) < 0.2) | harm)


def width(*places: list[PairedErrors]) -> float:
    found = mean_hter_difference(places, draws=2000)
    return found.high - found.low


def test_conditions_of_the_same_people_are_no_further_evidence_and_other_people_are() -> None:
    one = errors(0)
    alone = width([one])
    assert width([one, one, one]) == pytest.approx(alone)
    assert width([one], [one]) == pytest.approx(alone / np.sqrt(2), rel=0.1)


def test_one_condition_agrees_with_the_bootstrap_of_pairs() -> None:
    one = errors(1)
    scores = [np.where(wrong == one.attack, 0.9, 0.1) for wrong in (one.before, one.after)]
    pair = [(s[~one.attack], {"mask": s[one.attack]}) for s in scores]
    found = mean_hter_difference([[one]], draws=2000)
    other = paired_bootstrap(
        *pair,
        thresholds=(0.5, 0.5),
        bona_fide_subjects=one.unit[~one.attack].tolist(),
        attack_subjects={"mask": one.unit[one.attack].tolist()},
    )
    assert found.difference == pytest.approx(other.difference)
    assert found.low > 0
    # the other draws presentations within people too, which widens it
    assert found.high - found.low == pytest.approx(other.high - other.low, rel=0.25)


def test_a_condition_without_attacks_is_refused() -> None:
    one = errors(2)
    keep = ~one.attack
    half = PairedErrors(one.unit[keep], one.attack[keep], one.before[keep], one.after[keep])
    with pytest.raises(ScoreError, match="expected bona fide and attack presentations"):
        mean_hter_difference([[one, half]], draws=100)
