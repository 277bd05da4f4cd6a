"""Claims about pseudo labels are lower bounds, and moving rates count what is in the window."""

from itertools import pairwise

import numpy as np
import pytest

from mfas.errors import ScoreError
from mfas.metrics import claim_bins, clopper_pearson, fit_claims, moving_rates


def names(count):
    return [str(i) for i in range(count)]


def test_claims_rise_and_are_kept_on_fresh_data():
    broken = pools = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        raw = rng.random(600)
        blocks = fit_claims(raw, rng.random(600) < 0.6 + 0.35 * raw, names(600))
        claims = [b.claim for b in blocks]
        assert claims == sorted(claims)
        edges = [*(b.low for b in blocks), 1.0]
        truth = [0.6 + 0.35 * (low + high) / 2 for low, high in pairwise(edges)]
        broken += sum(claim > share for claim, share in zip(claims, truth, strict=True))
        pools += len(blocks)
    assert pools > 40
    assert broken <= 0.1 * pools, "a 95 % bound may fail now and then, not often"


def test_a_reliability_that_does_not_order_gives_one_pool():
    rng = np.random.default_rng(0)
    raw = np.sort(rng.random(200))
    right = np.arange(200) < 150  # the surer, the more often wrong
    (only,) = fit_claims(raw, right, names(200))
    assert (only.right, only.count) == (150, 200)
    assert only.claim == pytest.approx(clopper_pearson(150, 200, 0.9).low)


def test_captures_of_a_presentation_count_once_and_one_error_spoils_it():
    right = np.array([True, True, False, True] * 10)
    (block,) = fit_claims(np.full(40, 0.9), right, [f"p{i // 4}" for i in range(40)])
    assert (block.right, block.count) == (0, 10)
    (block,) = fit_claims(np.full(40, 0.9), np.ones(40), [f"p{i // 4}" for i in range(40)])
    assert (block.right, block.count) == (10, 10)


def test_nothing_accepted_claims_nothing_and_bad_input_is_refused():
    assert fit_claims([], [], []) == ()
    assert claim_bins([], []) == ()
    with pytest.raises(ScoreError, match="one truth per pseudo label"):
        claim_bins([0.5, 0.6], [True])
    with pytest.raises(ScoreError, match="one subject per score for the pseudo labels"):
        fit_claims([0.5, 0.6], [True, False], ["a"])


def test_claim_bins_by_hand():
    low, high = claim_bins([0.91, 0.93, 0.99, 1.0], [True, False, True, True])
    assert (low.low, low.high, low.count, low.right) == (0.9, 0.95, 2, 0.5)
    assert (high.high, high.count, high.claimed, high.right) == (1.0, 2, 0.995, 1.0)
    assert high.interval == clopper_pearson(2, 2, unit="capture")


def test_moving_rates_by_hand():
    scores = [0.9, 0.2, 0.7, 0.1, 0.9, 0.3]
    live = [True, True, False, False, False, True]
    found = moving_rates(scores, live, 0.5, window=4, least=2)
    nan = np.nan
    np.testing.assert_allclose(found.bpcer, [nan, 0.5, 0.5, 0.5, nan, nan])
    np.testing.assert_allclose(found.apcer, [nan, nan, nan, 0.5, 2 / 3, 2 / 3])
    np.testing.assert_allclose(found.hter, [nan, nan, nan, 0.5, nan, nan])
    with pytest.raises(ScoreError, match="one class per score"):
        moving_rates(scores, live[:3], 0.5, window=4)
