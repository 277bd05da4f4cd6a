"""What a stealing audit found in words, and which of it a card should say."""

from __future__ import annotations

from typing import Any

import pytest

from mfas.benchmark.steal_findings import steal_findings, steal_weaknesses


def clone(**changed: Any) -> dict[str, Any]:
    row = {"victim": "m", "queries": 100, "strategy": "both", "answers": "score", "defence": "", "asked": 100}
    row |= {"agreement": 0.5, "by_chance": 0.5, "transfer": 0.1, "transfer_clean": 0.1, "white_box": 0.9, "alarm": 25}
    return row | changed


def learner(apcer: float, bpcer: float) -> dict[str, Any]:
    rates = {"victim_before": {"apcer": 0.1, "bpcer": 0.1}, "victim_after": {"apcer": apcer, "bpcer": bpcer}}
    return clone(defence="learning", updates=3, **rates)


def result(*clones: dict[str, Any], false_alarms: float = 0.0) -> dict[str, Any]:
    facts = {"victim": "m", "false_alarms": false_alarms, "benign_windows": 6}
    return {"models": [{"name": "m"}], "clones": list(clones), "detectors": [facts]}


def test_a_thief_who_got_nothing_and_was_seen_is_told_and_is_no_weakness() -> None:
    found = result(clone(), clone(defence="rate limit", asked=10), learner(0.1, 0.1))
    assert len(steal_findings(found)) == 4
    assert steal_weaknesses(found) == []


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (result(clone(agreement=0.61)), "decides alike in 61.0 % of captures (by chance 50.0 %"),
        (result(clone(alarm=None)), "it never noticed both"),
        (result(clone(), false_alarms=0.25), "takes 25.0 % of 6 benign windows"),
        (result(clone(), learner(0.13, 0.05)), "clean APCER 10.0 % became 13.0 %"),
        (result(clone(), learner(0.1, 0.12)), "BPCER 10.0 % became 12.0 %"),
    ],
)
def test_what_a_card_should_say(found: dict[str, Any], words: str) -> None:
    (told,) = steal_weaknesses(found)
    assert words in told
    assert told in steal_findings(found)


def test_where_no_attack_was_carried_over_nothing_is_said_of_it() -> None:
    (told, *_) = steal_findings(result(clone(transfer=None, transfer_clean=None, white_box=None)))
    assert told.endswith("answers 'score').")
