"""Intervals: against scipy, against brute force, and their statistical behaviour."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from mfas import metrics
from mfas.errors import ScoreError
from mfas.metrics import _sample, _weighted

COARSE = st.integers(0, 10).map(lambda k: k / 10)


def simulated(seed=0, people=25, each=8, species=("mask_silicone", "print_flat", "replay_lcd"), shift=0.0):
    rng = np.random.default_rng(seed)
    habit = rng.normal(0, 0.8, people)

    def draw(centre):
        return 1 / (1 + np.exp(-(np.repeat(habit, each) + centre + rng.normal(0, 1, people * each))))

    names = [f"person-{i // each:02d}" for i in range(people * each)]
    attacks = {name: draw(-1.2 - shift + 0.4 * i) for i, name in enumerate(species)}
    return draw(1.2 + shift), attacks, names, dict.fromkeys(species, names)


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_clopper_pearson_agrees_with_scipy(pair):
    errors, count = pair
    ours = metrics.clopper_pearson(errors, count)
    theirs = binomtest(errors, count).proportion_ci(0.95, method="exact")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_clopper_pearson_refuses_nonsense():
    for errors, count in ((0, 0), (3, 2), (-1, 5)):
        with pytest.raises(ScoreError, match="errors <= count"):
            metrics.clopper_pearson(errors, count)


@given(
    st.lists(COARSE, min_size=1, max_size=25),
    st.dictionaries(st.sampled_from("abc"), st.lists(COARSE, min_size=1, max_size=20), min_size=1),
    COARSE,
)
@settings(max_examples=150)
def test_weighted_metrics_with_unit_weights_equal_the_plain_ones(genuine, attacks, threshold):
    sample = _sample.build(genuine, attacks)
    ones = np.ones((2, sample.score.size), dtype=np.int64)
    values = _weighted.at_threshold(sample, ones, threshold) | _weighted.over_curve(sample, ones)
    plain = metrics.evaluate(genuine, attacks, threshold, draws=0).to_dict()
    for name, value in values.items():
        base, _, species = name.partition(".")
        expected = plain[base][species] if species else plain[base]
        if expected is not None:
            assert value[1] == pytest.approx(expected, abs=1e-12), name


@given(st.integers(0, 50))
@settings(max_examples=20)
def test_weighted_metrics_equal_the_plain_ones_on_repeated_rows(seed):
    genuine, attacks, names, attack_names = simulated(seed, people=6, each=3)
    sample = _sample.build(np.round(genuine, 1), {k: np.round(v, 1) for k, v in attacks.items()}, names, attack_names)
    weights = next(_sample.resample(sample, 5, seed))
    values = _weighted.at_threshold(sample, weights, 0.45) | _weighted.over_curve(sample, weights)
    for row, weight in enumerate(weights):
        score, stratum = np.repeat(sample.score, weight), np.repeat(sample.stratum, weight)
        groups = {name: score[stratum == i + 1] for i, name in enumerate(sample.species)}
        plain = metrics.evaluate(score[stratum == 0], groups, 0.45, draws=0)
        for name in ("bpcer", "apcer", "apcer_max", "hter", "acer", "hter_eer", "auc", "bpcer_at_apcer_10pct"):
            assert values[name][row] == pytest.approx(getattr(plain, name), abs=1e-12), name


def test_resampling_draws_subjects_then_presentations_of_each_stratum():
    genuine, attacks, names, attack_names = simulated(people=9, each=4)
    sample = _sample.build(genuine, attacks, names, attack_names)
    weights = np.concatenate(list(_sample.resample(sample, 3000, 1)))
    assert weights.shape == (3000, 9 * 4 * 4)
    assert weights.mean() == pytest.approx(1.0, abs=0.02)
    # A person drawn k times brings k x 4 rows of every stratum, never a number in between.
    for stratum in range(4):
        rows = (sample.subject == 2) & (sample.stratum == stratum)
        assert set(np.unique(weights[:, rows].sum(axis=1) % 4)) == {0}
    first = weights[:, (sample.subject == 2) & (sample.stratum == 0)].sum(axis=1)
    second = weights[:, (sample.subject == 2) & (sample.stratum == 1)].sum(axis=1)
    np.testing.assert_array_equal(first, second)
    assert (first == 0).mean() == pytest.approx((1 - 1 / 9) ** 9, abs=0.03)


def test_chunks_do_not_change_what_is_drawn(monkeypatch):
    genuine, attacks, names, attack_names = simulated(people=5, each=2)
    sample = _sample.build(genuine, attacks, names, attack_names)
    monkeypatch.setattr(_sample, "_CHUNK", sample.score.size * 7)
    chunks = list(_sample.resample(sample, 20, 3))
    assert [len(c) for c in chunks] == [7, 7, 6]
    assert len({c.tobytes() for c in chunks[:2]}) == 2


def test_subject_intervals_are_wider_than_presentation_intervals():
    genuine, attacks, names, attack_names = simulated(people=20, each=20)
    threshold = 0.5
    plain = metrics.bootstrap(genuine, attacks, threshold)["bpcer"]
    clustered = metrics.bootstrap(genuine, attacks, threshold, bona_fide_subjects=names, attack_subjects=attack_names)[
        "bpcer"
    ]
    assert (plain.unit, clustered.unit) == ("presentation", "subject")
    assert clustered.high - clustered.low > 1.5 * (plain.high - plain.low)


def test_intervals_hold_the_estimate_and_repeat_with_the_seed():
    genuine, attacks, names, attack_names = simulated()
    first = metrics.evaluate(genuine, attacks, 0.5, bona_fide_subjects=names, attack_subjects=attack_names, seed=4)
    again = metrics.evaluate(genuine, attacks, 0.5, bona_fide_subjects=names, attack_subjects=attack_names, seed=4)
    other = metrics.evaluate(genuine, attacks, 0.5, bona_fide_subjects=names, attack_subjects=attack_names, seed=5)
    assert first == again
    assert first.intervals != other.intervals
    for name in ("bpcer", "apcer", "apcer_max", "hter", "acer", "hter_eer", "auc"):
        interval = first.intervals[name]
        assert interval["low"] <= getattr(first, name) <= interval["high"], name
        assert interval["low"] < interval["high"]


def test_coverage_over_people_is_near_nominal():
    truth = np.mean([metrics.bpcer(simulated(s, people=400, each=10)[0], 0.5) for s in range(1000, 1010)])
    hits = []
    for seed in range(60):
        genuine, _, names, _ = simulated(seed, people=30, each=6)
        found = metrics.bootstrap(genuine, {}, 0.5, bona_fide_subjects=names, draws=300, seed=seed)["bpcer"]
        hits.append(found.low <= truth <= found.high)
    assert np.mean(hits) >= 0.85


def test_a_thousand_presentations_take_less_than_a_second():
    genuine, attacks, names, attack_names = simulated(people=50, each=5)
    assert genuine.size * 4 == 1000
    start = time.perf_counter()
    found = metrics.bootstrap(genuine, attacks, 0.5, bona_fide_subjects=names, attack_subjects=attack_names)
    assert len(found) >= 14
    # Measured 0.2 s; the margin is for a machine that is busy with other things.
    assert time.perf_counter() - start < 2.0


def test_paired_difference():
    before, before_attacks, names, attack_names = simulated(0)
    after, after_attacks, _, _ = simulated(0, shift=0.8)
    found = metrics.paired_bootstrap(
        (before, before_attacks),
        (after, after_attacks),
        thresholds=(0.5, 0.5),
        bona_fide_subjects=names,
        attack_subjects=attack_names,
    )
    expected = metrics.hter(after, after_attacks, 0.5) - metrics.hter(before, before_attacks, 0.5)
    assert found.difference == pytest.approx(expected)
    assert found.low <= found.difference <= found.high < 0
    assert found.unit == "subject"
    alone = metrics.bootstrap(before, before_attacks, 0.5, bona_fide_subjects=names, attack_subjects=attack_names)[
        "hter"
    ]
    assert found.high - found.low < 2 * (alone.high - alone.low)


def test_paired_difference_of_a_system_with_itself_is_nothing():
    genuine, attacks, names, attack_names = simulated(3)
    order = np.random.default_rng(0).permutation(genuine.size)
    found = metrics.paired_bootstrap(
        (genuine, attacks), (genuine, attacks), thresholds=(0.5, 0.5), bona_fide_subjects=names,
        attack_subjects=attack_names, metric="acer",
    )  # fmt: skip
    assert (found.difference, found.low, found.high) == (0.0, 0.0, 0.0)
    shuffled = metrics.paired_bootstrap((genuine, attacks), (genuine[order], attacks), thresholds=(0.5, 0.5))
    assert shuffled.difference == 0.0
    assert shuffled.low < 0 < shuffled.high


def test_paired_difference_refuses_what_does_not_line_up():
    with pytest.raises(ScoreError, match="same presentations"):
        metrics.paired_bootstrap(([0.5], {"a": [0.1]}), ([0.5, 0.6], {"a": [0.1]}), thresholds=(0.5, 0.5))
    with pytest.raises(ScoreError, match="threshold metric"):
        metrics.paired_bootstrap(([0.5], {"a": [0.1]}), ([0.5], {"a": [0.1]}), thresholds=(0.5, 0.5), metric="auc")
    with pytest.raises(ScoreError, match="one subject per score"):
        metrics.bootstrap([0.5, 0.6], {}, 0.5, bona_fide_subjects=["a"])
