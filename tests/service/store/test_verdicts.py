"""What a canary lets through, one bound at a time."""

from __future__ import annotations

from math import nan

import pytest

from mfas.service.verdicts import Bounds, CanaryFigures, Outcome, judge
from stored import change

BEFORE = CanaryFigures(100, 100, 0.02, {"print_flat": 0.0, "replay_lcd": 0.04})


def after(bpcer: float = 0.02, print_flat: float = 0.0, replay_lcd: float = 0.04) -> CanaryFigures:
    return CanaryFigures(100, 100, bpcer, {"print_flat": print_flat, "replay_lcd": replay_lcd})


@pytest.mark.parametrize(
    ("facts", "drift", "outcome", "words"),
    [
        ({}, 0.05, Outcome.PROMOTE, "within the bounds"),
        ({"after": after(bpcer=0.03)}, 0.05, Outcome.PROMOTE, "within"),
        ({"after": after(bpcer=0.031)}, 0.05, Outcome.REJECT, "BPCER on the site canary goes from 0.020 to 0.031"),
        ({"after": after(print_flat=0.01)}, 0.05, Outcome.PROMOTE, "within"),
        ({"after": after(print_flat=0.011, replay_lcd=0.0)}, 0.05, Outcome.REJECT, "APCER of print_flat"),
        ({"after": after(bpcer=0.0, replay_lcd=0.051)}, 0.05, Outcome.REJECT, "APCER of replay_lcd"),
        ({"flips": 0.0199}, 0.05, Outcome.PROMOTE, "within"),
        ({"flips": 0.02}, 0.05, Outcome.REJECT, "2.0% of the site canary"),
        ({}, 0.2, Outcome.REJECT, "reaches the radius"),
        ({}, nan, Outcome.ALARM, "drift is not finite"),
        ({"flips": nan}, 0.05, Outcome.ALARM, "not finite"),
        ({"spoof_rise": 0.001}, 0.05, Outcome.PROMOTE, "within"),
        ({"spoof_rise": 0.0011}, 0.05, Outcome.WAIT, "score of an attack of the site canary rises"),
        ({"spoof_rise": -0.3}, 0.05, Outcome.PROMOTE, "within"),
    ],
)
def test_one_bound_at_a_time(facts: dict[str, object], drift: float, outcome: Outcome, words: str) -> None:
    verdict = judge([change(**{"before": BEFORE, "after": BEFORE, **facts})], drift, Bounds(), automatic=True)
    assert verdict.outcome is outcome
    assert words in "; ".join(verdict.reasons)


def test_every_canary_must_agree() -> None:
    worse = change("source", before=BEFORE, after=after(bpcer=0.5))
    verdict = judge([change(before=BEFORE, after=BEFORE), worse], 0.0, Bounds(), automatic=True)
    assert verdict.outcome is Outcome.REJECT


def test_without_a_canary_a_person_must_approve() -> None:
    verdict = judge([], 0.0, Bounds(), automatic=True)
    assert (verdict.outcome, verdict.reasons) == (Outcome.WAIT, ("there is no canary",))


def test_a_policy_that_asks_always_asks_but_not_for_what_is_worse() -> None:
    good, bad = change(before=BEFORE, after=BEFORE), change(before=BEFORE, after=after(bpcer=0.5))
    assert judge([good], 0.0, Bounds(), automatic=False).outcome is Outcome.WAIT
    assert judge([bad], 0.0, Bounds(), automatic=False).outcome is Outcome.REJECT


def test_a_bpcer_beyond_any_excuse_is_an_alarm() -> None:
    same = CanaryFigures(100, 100, 0.4, {"print_flat": 0.0})
    verdict = judge([change(before=same, after=same)], 0.0, Bounds(highest_bpcer=0.3), automatic=True)
    assert verdict.outcome is Outcome.ALARM
