"""`evaluate`: the record, what is null and why, JSON."""

import json
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from mfas import metrics
from mfas.errors import ScoreError

BONA_FIDE = np.linspace(0.3, 0.98, 60)
ATTACKS = {"print_flat": np.linspace(0.02, 0.45, 120), "replay_lcd": np.linspace(0.02, 0.7, 80)}
BONA_FIDE_SUBJECTS = [f"p{i % 12}" for i in range(60)]
ATTACK_SUBJECTS = {"print_flat": [f"p{i % 12}" for i in range(120)], "replay_lcd": [f"p{i % 12}" for i in range(80)]}

FIELDS = [
    "bpcer", "apcer_by_species", "apcer_max", "apcer", "hter", "acer", "hter_eer", "auc", "bpcer_at_apcer_10pct",
    "bpcer_at_apcer_5pct", "bpcer_at_apcer_1pct", "tpr_at_fpr_1pct", "tpr_at_fpr_0_1pct", "threshold", "n_bona_fide",
    "n_attack", "n_subjects", "n_presentations", "non_response", "intervals",
]  # fmt: skip


def full(**changes):
    given = {"bona_fide_subjects": BONA_FIDE_SUBJECTS, "attack_subjects": ATTACK_SUBJECTS, "draws": 300}
    return metrics.evaluate(BONA_FIDE, ATTACKS, 0.5, **(given | changes))


def test_fields_and_counts():
    found = full(non_response={"bona_fide": 2, "replay_lcd": 1})
    assert set(FIELDS) <= set(found.to_dict())
    assert (found.n_bona_fide, found.n_attack, found.n_subjects) == (60, 200, 12)
    assert (found.non_response, found.n_presentations) == (3, 263)
    assert found.non_response_by_class == {"bona_fide": 2, "replay_lcd": 1}
    assert found.n_attack_by_species == {"print_flat": 120, "replay_lcd": 80}
    assert found.hter == pytest.approx((found.apcer + found.bpcer) / 2)
    assert found.acer == pytest.approx((found.apcer_max + found.bpcer) / 2)
    assert tuple(FIELDS[:13]) == metrics.METRIC_NAMES
    with pytest.raises(FrozenInstanceError):
        found.hter = 0.0


def test_intervals_name_method_and_unit():
    found = full().intervals
    for name in ("bpcer", "apcer", "apcer_max", "apcer_by_species.print_flat", "apcer_by_species.replay_lcd"):
        assert found[name]["method"] == "bootstrap"
        assert found[name]["unit"] == "subject"
        assert found[name]["clopper_pearson"]["unit"] == "presentation"
    assert set(found["hter"]) == {"low", "high", "method", "unit"}
    errors = int(np.sum(BONA_FIDE < 0.5))
    exact = metrics.clopper_pearson(errors, 60)
    assert (found["bpcer"]["clopper_pearson"]["low"], found["bpcer"]["clopper_pearson"]["high"]) == (
        exact.low,
        exact.high,
    )


def test_interval_of_the_maximum_is_that_of_the_worst_species():
    found = full().intervals
    assert found["apcer_max"]["clopper_pearson"] == found["apcer_by_species.replay_lcd"]["clopper_pearson"]


def test_zero_errors_still_have_an_upper_bound():
    found = metrics.evaluate([0.9] * 30, {"print_flat": [0.1] * 150}, 0.5, draws=100)
    assert found.apcer == 0.0
    assert found.intervals["apcer"]["high"] == 0.0
    assert found.intervals["apcer"]["clopper_pearson"]["high"] == pytest.approx(0.0243, abs=1e-4)


@pytest.mark.parametrize("threshold", [0.5, None])
@pytest.mark.parametrize(("genuine", "attacks"), [(BONA_FIDE, {}), ([], ATTACKS), (BONA_FIDE, ATTACKS)])
@pytest.mark.parametrize("draws", [0, 50])
def test_to_dict_is_strict_json(genuine, attacks, threshold, draws):
    text = json.dumps(metrics.evaluate(genuine, attacks, threshold, draws=draws).to_dict(), allow_nan=False)
    assert json.loads(text)["threshold"] == threshold


def test_without_threshold():
    found = metrics.evaluate(BONA_FIDE, ATTACKS, draws=50)
    assert [getattr(found, name) for name in FIELDS[:6]] == [None] * 6
    assert found.auc is not None
    assert "bpcer" not in found.intervals
    assert "auc" in found.intervals
    assert any("No threshold was given" in note for note in found.notes)


def test_bona_fide_only():
    found = metrics.evaluate(BONA_FIDE, {}, 0.5, draws=50)
    assert found.bpcer == metrics.bpcer(BONA_FIDE, 0.5)
    assert [getattr(found, name) for name in FIELDS[1:13]] == [None] * 12
    assert "There are no attack scores" in " ".join(found.notes)
    assert set(found.intervals) == {"bpcer"}


def test_attacks_only():
    found = metrics.evaluate([], ATTACKS, 0.5, draws=50)
    assert found.apcer_by_species == metrics.apcer_by_species(ATTACKS, 0.5)
    assert (found.bpcer, found.hter, found.auc) == (None, None, None)
    assert "There are no bona fide scores" in " ".join(found.notes)
    assert "apcer_max" in found.intervals


def test_tpr_below_one_attack_is_null_with_a_note():
    found = full()
    assert found.tpr_at_fpr_1pct is not None
    assert found.tpr_at_fpr_0_1pct is None
    assert "tpr_at_fpr_0_1pct" not in found.intervals
    assert "TPR at FPR 0.1 % (tpr_at_fpr_0_1pct) is not defined: it needs 1000 attacks, there are 200." in found.notes


def test_intervals_say_when_they_are_over_presentations():
    unnamed = metrics.evaluate(BONA_FIDE, ATTACKS, 0.5, draws=50)
    assert unnamed.n_subjects is None
    assert unnamed.intervals["hter"]["unit"] == "presentation"
    partly = full(bona_fide_subjects=["", *BONA_FIDE_SUBJECTS[1:]], draws=50)
    assert partly.n_subjects is None
    assert partly.intervals["hter"]["unit"] == "presentation"
    assert any("Subjects are not known" in note for note in partly.notes)
    frames = metrics.evaluate(BONA_FIDE, ATTACKS, 0.5, draws=50, unit="frame", n_presentations=26)
    assert frames.intervals["hter"]["unit"] == "frame"
    assert frames.n_presentations == 26
    alone = full(
        bona_fide_subjects=["a"] * 60, attack_subjects={k: ["a"] * len(v) for k, v in ATTACKS.items()}, draws=50
    )
    assert alone.n_subjects == 1
    assert alone.intervals["hter"]["unit"] == "presentation"
    assert any("one subject only" in note for note in alone.notes)


def test_bad_input():
    with pytest.raises(ScoreError, match="at least one score"):
        metrics.evaluate([], {})
    with pytest.raises(ScoreError, match="finite"):
        metrics.evaluate([float("nan")], ATTACKS)
    with pytest.raises(ScoreError, match="non-response"):
        full(non_response={"bona_fide": -1})
    with pytest.raises(ScoreError, match="non-response"):
        full(non_response=-1)
