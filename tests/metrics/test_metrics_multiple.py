"""Holm's correction, against an example worked by hand."""

from __future__ import annotations

import pytest

from mfas.errors import ScoreError
from mfas.metrics import holm, paired_bootstrap


def test_holm_by_hand() -> None:
    # sorted: 0.005 * 4 = 0.02; 0.01 * 3 = 0.03; 0.03 * 2 = 0.06; 0.04 * 1 = 0.04, raised to 0.06 by the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_keeps_to_one_and_takes_nothing() -> None:
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize("wrong", [[0.2, 1.5], [-0.1], [float("nan")]])
def test_what_is_no_p_value_is_refused(wrong: list[float]) -> None:
    with pytest.raises(ScoreError, match="p values"):
        holm(wrong)


def test_the_p_value_of_a_difference_is_one_without_and_small_with_an_effect() -> None:
    before = ([0.4] * 20 + [0.9] * 20, {"print_flat": [0.1] * 40})
    after = ([0.8] * 20 + [0.9] * 20, {"print_flat": [0.1] * 40})
    assert paired_bootstrap(before, before, thresholds=(0.5, 0.5), draws=200).p_value == 1.0
    assert paired_bootstrap(before, after, thresholds=(0.5, 0.5), draws=200).p_value == pytest.approx(2 / 201)
