"""Rates, thresholds and curves: hand-calculated, against scikit-learn, tied and constant scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve

from mfas import metrics
from mfas.errors import ScoreError

COARSE = st.integers(0, 12).map(lambda k: k / 12)
GENUINE = st.lists(COARSE, min_size=1, max_size=40)
FAKE = st.dictionaries(
    st.sampled_from(["print_flat", "replay_lcd", "mask_silicone"]),
    st.lists(COARSE, min_size=1, max_size=30),
    min_size=1,
)

# Worked by hand: 5 bona fide, print 4, replay 5.
BONA_FIDE = [0.35, 0.55, 0.6, 0.8, 0.9]
ATTACKS = {"print_flat": [0.05, 0.1, 0.2, 0.5], "replay_lcd": [0.1, 0.3, 0.4, 0.6, 0.7]}


def pooled(attacks):
    return np.concatenate([np.asarray(v) for v in attacks.values()])


def test_worked_example():
    assert metrics.bpcer(BONA_FIDE, 0.5) == 1 / 5
    assert metrics.apcer_by_species(ATTACKS, 0.5) == {"print_flat": 1 / 4, "replay_lcd": 2 / 5}
    assert metrics.apcer_max(ATTACKS, 0.5) == 2 / 5
    assert metrics.apcer(ATTACKS, 0.5) == 3 / 9
    assert metrics.hter(BONA_FIDE, ATTACKS, 0.5) == pytest.approx((3 / 9 + 1 / 5) / 2)
    assert metrics.acer(BONA_FIDE, ATTACKS, 0.5) == pytest.approx((2 / 5 + 1 / 5) / 2)
    # Between 0.5 and 0.55: 1 of 5 rejected, 2 of 9 accepted, gap 1/45, the smallest there is.
    assert metrics.equal_error_threshold(BONA_FIDE, ATTACKS) == pytest.approx(0.525)
    # 45 pairs: attacks below each bona fide score are 5, 7, 7 and a tie, 9, 9.
    assert metrics.auc(BONA_FIDE, ATTACKS) == pytest.approx((5 + 7 + 7.5 + 9 + 9) / 45)
    # 5 % of 4 and of 5 allow no attack: reject everything up to 0.7, and with it three bona fide.
    assert metrics.bpcer_at_apcer(BONA_FIDE, ATTACKS, 0.05) == 3 / 5
    # 25 % allows one print and one replay: replay decides, everything up to 0.6 is rejected.
    assert metrics.bpcer_at_apcer(BONA_FIDE, ATTACKS, 0.25) == 3 / 5
    # 40 % allows one print (up to 0.2 rejected) and two replays (up to 0.4 rejected): one bona fide.
    assert metrics.bpcer_at_apcer(BONA_FIDE, ATTACKS, 0.40) == 1 / 5


def test_a_score_at_the_threshold_is_accepted():
    assert metrics.bpcer([0.5], 0.5) == 0.0
    assert metrics.apcer({"print_flat": [0.5]}, 0.5) == 1.0


@given(GENUINE, FAKE, COARSE)
def test_rates_agree_with_a_confusion_matrix(genuine, attacks, threshold):
    fake = pooled(attacks)
    truth = np.r_[np.ones(len(genuine)), np.zeros(fake.size)]
    judged = np.r_[genuine, fake] >= threshold
    (tn, fp), (fn, tp) = confusion_matrix(truth, judged, labels=[0, 1])
    assert metrics.bpcer(genuine, threshold) == pytest.approx(fn / (fn + tp))
    assert metrics.apcer(attacks, threshold) == pytest.approx(fp / (fp + tn))
    assert metrics.apcer_max(attacks, threshold) >= metrics.apcer(attacks, threshold) - 1e-12


@given(GENUINE, FAKE)
def test_curves_agree_with_scikit_learn(genuine, attacks):
    fake = pooled(attacks)
    truth, values = np.r_[np.ones(len(genuine)), np.zeros(fake.size)], np.r_[genuine, fake]
    assert metrics.auc(genuine, attacks) == pytest.approx(roc_auc_score(truth, values))
    fpr, tpr, _ = roc_curve(truth, values, drop_intermediate=False)
    det = metrics.det(genuine, attacks)
    np.testing.assert_allclose(det.apcer, fpr[::-1])
    np.testing.assert_allclose(det.bpcer, 1 - tpr[::-1])


@given(GENUINE, FAKE)
def test_det_points_are_the_rates_at_their_thresholds(genuine, attacks):
    det = metrics.det(genuine, attacks)
    for apcer, bpcer, threshold in zip(det.apcer[:-1], det.bpcer[:-1], det.threshold[:-1], strict=True):
        assert metrics.apcer(attacks, threshold) == pytest.approx(apcer)
        assert metrics.bpcer(genuine, threshold) == pytest.approx(bpcer)


@given(GENUINE, FAKE)
@settings(max_examples=200)
def test_equal_error_threshold_is_the_best_of_all(genuine, attacks):
    chosen = metrics.equal_error_threshold(genuine, attacks)
    assert 0.0 <= chosen <= 1.0

    def gap(t):
        return abs(metrics.apcer(attacks, t) - metrics.bpcer(genuine, t))

    assert gap(chosen) <= min(gap(t) for t in np.linspace(0, 1, 241)) + 1e-12
    reordered = {name: list(reversed(attacks[name])) for name in reversed(list(attacks))}
    assert metrics.equal_error_threshold(list(reversed(genuine)), reordered) == chosen


def test_equal_error_threshold_separates_neighbouring_floats():
    low = 0.5
    high = np.nextafter(low, 1)
    threshold = metrics.equal_error_threshold([high], {"print_flat": [low]})
    assert metrics.hter([high], {"print_flat": [low]}, threshold) == 0.0


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_constant_scores(value):
    genuine, attacks = [value] * 6, {"print_flat": [value] * 3}
    threshold = metrics.equal_error_threshold(genuine, attacks)
    assert 0.0 <= threshold <= 1.0
    assert metrics.hter(genuine, attacks, threshold) == 0.5
    assert metrics.auc(genuine, attacks) == 0.5
    assert metrics.bpcer_at_apcer(genuine, attacks, 0.1) == 1.0


@given(GENUINE, FAKE, st.sampled_from([0.0, 0.01, 0.05, 0.1, 0.3, 1.0]), st.booleans())
def test_threshold_at_apcer_meets_its_target_and_no_lower_one_does(genuine, attacks, target, per_species):
    measure = metrics.apcer_max if per_species else metrics.apcer
    threshold = metrics.threshold_at_apcer(attacks, target, per_species=per_species)
    assert measure(attacks, threshold) <= target + 1e-12
    lower = np.nextafter(threshold, -1)
    assert lower < 0 or measure(attacks, lower) > target
    assert metrics.bpcer_at_apcer(genuine, attacks, target, per_species=per_species) == metrics.bpcer(
        genuine, threshold
    )


@given(GENUINE, st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_threshold_at_bpcer_meets_its_target_and_no_higher_one_does(genuine, target):
    threshold = metrics.threshold_at_bpcer(genuine, target)
    assert metrics.bpcer(genuine, threshold) <= target + 1e-12
    assert threshold > 1 or metrics.bpcer(genuine, np.nextafter(threshold, 2)) > target


@given(GENUINE, FAKE, st.sampled_from([0.05, 0.1, 0.5]))
def test_tpr_at_fpr_is_the_best_point_of_the_curve(genuine, attacks, target):
    fake = pooled(attacks)
    found = metrics.tpr_at_fpr(genuine, attacks, target)
    if target < 1 / fake.size:
        assert found is None
        return
    fpr, tpr, _ = roc_curve(
        np.r_[np.ones(len(genuine)), np.zeros(fake.size)], np.r_[genuine, fake], drop_intermediate=False
    )
    assert found == pytest.approx(tpr[fpr <= target + 1e-12].max())


def test_targets_are_exact_at_products():
    # 0.07 * 100 is 7.000000000000001 in floating point, 0.29 * 100 is 28.999999999999996: rounding must not decide.
    attacks = {"print_flat": np.arange(30) / 100}
    assert metrics.apcer(attacks, metrics.threshold_at_apcer(attacks, 0.1)) == pytest.approx(0.1)
    attacks = {"print_flat": np.arange(100) / 100}
    assert metrics.apcer(attacks, metrics.threshold_at_apcer(attacks, 0.07)) == pytest.approx(0.07)
    assert metrics.apcer(attacks, metrics.threshold_at_apcer(attacks, 0.29)) == pytest.approx(0.29)


@pytest.mark.parametrize(
    ("genuine", "attacks", "message"),
    [
        ([0.5, float("nan")], {"print_flat": [0.1]}, "finite scores for bona fide, got nan at position 1"),
        ([0.5], {"print_flat": [0.1, float("inf")]}, "species 'print_flat', got inf"),
        ([1.5], {"print_flat": [0.1]}, r"\[0, 1\]"),
        ([-0.1], {"print_flat": [0.1]}, r"\[0, 1\]"),
        ([[0.5]], {"print_flat": [0.1]}, "shape"),
        ([], {"print_flat": [0.1]}, "at least one bona fide"),
        ([0.5], {}, "at least one attack"),
        ([0.5], {"print_flat": []}, "at least one attack"),
        ([0.5], [0.1, 0.2], "mapping from species"),
    ],
)
def test_bad_scores_are_refused_with_a_sentence(genuine, attacks, message):
    with pytest.raises(ScoreError, match=message):
        metrics.hter(genuine, attacks, 0.5)
    with pytest.raises(ScoreError, match=message):
        metrics.auc(genuine, attacks)


def test_bad_numbers_are_refused():
    with pytest.raises(ScoreError, match="finite threshold"):
        metrics.bpcer([0.5], float("nan"))
    with pytest.raises(ScoreError, match="APCER target"):
        metrics.bpcer_at_apcer([0.5], {"print_flat": [0.1]}, 10)


def test_an_empty_species_is_left_out():
    assert metrics.apcer_by_species({"print_flat": [0.1], "replay_lcd": []}, 0.5) == {"print_flat": 0.0}


def test_reliability_bins():
    bins = metrics.reliability_bins([0.95, 1.0, 0.5], {"print_flat": [0.0, 0.05, 0.9]}, bins=10)
    assert len(bins) == 10
    assert sum(b.count for b in bins) == 6
    assert bins[9].count == 3
    assert bins[9].bona_fide_share == pytest.approx(2 / 3)
    assert bins[9].mean_score == pytest.approx(0.95)
    assert bins[3].mean_score is None
    gap = 3 * abs(0.95 - 2 / 3) + 2 * 0.025 + 1 * 0.5
    assert metrics.expected_calibration_error([0.95, 1.0, 0.5], {"print_flat": [0.0, 0.05, 0.9]}) == pytest.approx(
        gap / 6
    )
    with pytest.raises(ScoreError, match="at least one reliability bin"):
        metrics.reliability_bins([0.5], {}, bins=0)


@pytest.mark.parametrize(
    ("bona_fide", "attacks", "error"),
    [
        ([1.0, 1.0], [0.0, 0.0], 0.0),  # sure and right
        ([0.0, 0.0], [1.0, 1.0], 1.0),  # sure and wrong
        ([0.5, 0.5], [0.5, 0.5], 0.0),  # says one in two, and it is
        ([0.9, 0.9, 0.9, 0.9], [0.9], 0.1),  # says nine in ten, it is four in five
        ([0.75, 0.75, 0.25], [0.75, 0.25, 0.25], 1 / 12),  # two in three for 0.75, one in three for 0.25
    ],
)
def test_calibration_error_of_known_scores(bona_fide, attacks, error):
    found = metrics.expected_calibration_error(bona_fide, {"print_flat": attacks})
    assert found == pytest.approx(error)


def test_overconfident_errors_of_known_scores():
    bona_fide, attacks = [0.05, 0.1, 0.4, 0.99], {"print_flat": [0.95], "replay_lcd": [0.9, 0.2]}
    assert metrics.overconfident_errors(bona_fide, attacks) == pytest.approx(2 / 7)  # 0.05 and 0.95; 0.9 is not above
    assert metrics.overconfident_errors(bona_fide, attacks, confidence=0.5) == pytest.approx(5 / 7)
    assert metrics.overconfident_errors([], {"print_flat": [0.95, 0.1]}) == 0.5
    for wrong in (0.49, 1.0):
        with pytest.raises(ScoreError, match=r"confidence in \[0\.5, 1\)"):
            metrics.overconfident_errors(bona_fide, attacks, confidence=wrong)
    with pytest.raises(ScoreError, match="at least one score"):
        metrics.overconfident_errors([], {})
