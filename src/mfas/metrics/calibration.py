"""Whether a score of 0.8 means bona fide four times in five: reliability bins and their summary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mfas.errors import ScoreError
from mfas.metrics import _check


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Presentations whose score lies in [``low``, ``high``): the last bin includes 1.

    ``mean_score`` and ``bona_fide_share`` are None in an empty bin.
    """

    low: float
    high: float
    count: int
    mean_score: float | None
    bona_fide_share: float | None


def reliability_bins(
    bona_fide: ArrayLike, attacks: Mapping[str, ArrayLike], bins: int = 10
) -> tuple[ReliabilityBin, ...]:
    """Equal-width bins over [0, 1] of all presentations. The share depends on the class mix of the set.

    >>> [b.bona_fide_share for b in reliability_bins([0.6, 0.9], {"print_flat": [0.1, 0.7]}, bins=2)]
    [0.0, 0.6666666666666666]
    """
    if bins < 1:
        raise ScoreError(f"expected at least one reliability bin, got {bins}")
    genuine = _check.scores(bona_fide, "bona fide")
    fake = _check.pooled(_check.species_scores(attacks))
    values = np.concatenate([genuine, fake])
    truth = np.concatenate([np.ones(genuine.size), np.zeros(fake.size)])
    index = np.minimum((values * bins).astype(np.int64), bins - 1)
    count = np.bincount(index, minlength=bins)
    total = np.bincount(index, weights=values, minlength=bins)
    positive = np.bincount(index, weights=truth, minlength=bins)
    return tuple(
        ReliabilityBin(
            low=i / bins,
            high=(i + 1) / bins,
            count=int(count[i]),
            mean_score=float(total[i] / count[i]) if count[i] else None,
            bona_fide_share=float(positive[i] / count[i]) if count[i] else None,
        )
        for i in range(bins)
    )


def expected_calibration_error(bona_fide: ArrayLike, attacks: Mapping[str, ArrayLike], bins: int = 10) -> float:
    """Mean gap between score and bona fide share over `reliability_bins`, weighted by count (Guo et al. 2017, eq. 3).

    >>> round(expected_calibration_error([0.8, 0.8, 0.8, 0.8], {"print_flat": [0.8]}), 6)
    0.0
    """
    filled = [b for b in reliability_bins(bona_fide, attacks, bins) if b.count]
    if not filled:
        raise ScoreError("expected at least one score, got none")
    gaps = [b.count * abs((b.mean_score or 0.0) - (b.bona_fide_share or 0.0)) for b in filled]
    return float(sum(gaps) / sum(b.count for b in filled))


def overconfident_errors(bona_fide: ArrayLike, attacks: Mapping[str, ArrayLike], confidence: float = 0.9) -> float:
    """Share of all presentations that are wrong at 0.5 with a larger class probability above ``confidence``.

    ``confidence`` in [0.5, 1). The 0.5 is that of the probability, not the operating threshold. A class may be empty.

    >>> overconfident_errors([0.05, 0.4, 0.95], {"print_flat": [0.9, 0.91]})
    0.4
    """
    if not 0.5 <= confidence < 1:
        raise ScoreError(f"expected a confidence in [0.5, 1), got {confidence}")
    genuine = _check.scores(bona_fide, "bona fide")
    fake = _check.pooled(_check.species_scores(attacks))
    if not genuine.size + fake.size:
        raise ScoreError("expected at least one score, got none")
    wrong = np.concatenate([1 - genuine, fake])
    return float((wrong > confidence).mean())
