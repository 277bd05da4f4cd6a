"""Error rates at one threshold, in the words of ISO/IEC 30107-3.

Everywhere: a presentation is accepted as bona fide iff its score >= threshold. Scores are finite, in [0, 1], higher =
bona fide; rates are fractions in [0, 1]. Bad scores, or a class without any, raise `ScoreError`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from mfas.metrics import _check


def bpcer(bona_fide: ArrayLike, threshold: float) -> float:
    """Bona fide presentations judged attack, over bona fide presentations (ISO/IEC 30107-3).

    >>> bpcer([0.2, 0.5, 0.7, 0.9], threshold=0.5)
    0.25
    """
    threshold = _check.decision_threshold(threshold)
    return float(np.mean(_check.bona_fide_scores(bona_fide) < threshold))


def apcer_by_species(attacks: Mapping[str, ArrayLike], threshold: float) -> dict[str, float]:
    """Per species: attacks judged bona fide, over attacks of that species presented (ISO/IEC 30107-3).

    >>> apcer_by_species({"replay_lcd": [0.1, 0.6], "print_flat": [0.1, 0.2, 0.3, 0.5]}, threshold=0.5)
    {'print_flat': 0.25, 'replay_lcd': 0.5}
    """
    threshold = _check.decision_threshold(threshold)
    return {name: float(np.mean(array >= threshold)) for name, array in _check.attack_scores(attacks).items()}


def apcer_max(attacks: Mapping[str, ArrayLike], threshold: float) -> float:
    """The headline of ISO/IEC 30107-3: APCER of the worst species.

    >>> apcer_max({"replay_lcd": [0.1, 0.6], "print_flat": [0.1, 0.2, 0.3, 0.5]}, threshold=0.5)
    0.5
    """
    return max(apcer_by_species(attacks, threshold).values())


def apcer(attacks: Mapping[str, ArrayLike], threshold: float) -> float:
    """Attacks judged bona fide over all attacks, species pooled: for `hter` and papers, not the ISO headline.

    >>> apcer({"replay_lcd": [0.1, 0.6], "print_flat": [0.1, 0.2]}, threshold=0.5)
    0.25
    """
    threshold = _check.decision_threshold(threshold)
    return float(np.mean(_check.pooled(_check.attack_scores(attacks)) >= threshold))


def hter(bona_fide: ArrayLike, attacks: Mapping[str, ArrayLike], threshold: float) -> float:
    """Half total error rate: mean of pooled `apcer` and `bpcer`.

    >>> hter([0.2, 0.5, 0.7, 0.9], {"print_flat": [0.1, 0.2, 0.3, 0.5]}, threshold=0.5)
    0.25
    """
    return (apcer(attacks, threshold) + bpcer(bona_fide, threshold)) / 2


def acer(bona_fide: ArrayLike, attacks: Mapping[str, ArrayLike], threshold: float) -> float:
    """Average classification error rate: mean of `apcer_max` and `bpcer`.

    >>> acer([0.2, 0.5, 0.7, 0.9], {"print_flat": [0.1, 0.2, 0.3, 0.5]}, threshold=0.5)
    0.25
    """
    return (apcer_max(attacks, threshold) + bpcer(bona_fide, threshold)) / 2
