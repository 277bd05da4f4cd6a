"""Error rates over a moving window of a stream."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mfas.errors import ScoreError
from mfas.metrics import _check
from mfas.metrics._check import Array


@dataclass(frozen=True, slots=True)
class MovingRates:
    """Rates after each capture, vectors ``[N]`` of fractions; NaN where the window holds too few of a class."""

    bpcer: Array
    apcer: Array
    hter: Array


def moving_rates(scores: ArrayLike, bona_fide: ArrayLike, threshold: float, window: int, least: int = 5) -> MovingRates:
    """BPCER, pooled APCER and HTER over the last ``window`` captures, where they hold ``least`` of the class.

    ``scores`` in [0, 1] in arrival order, ``bona_fide`` bool beside them; accepted iff score >= ``threshold``.

    >>> moving_rates([0.9, 0.1, 0.8, 0.9], [1, 1, 0, 1], threshold=0.5, window=2, least=1).bpcer.tolist()
    [0.0, 0.5, 1.0, 0.0]
    """
    values = _check.scores(scores, "the stream")
    genuine = np.asarray(bona_fide, dtype=np.bool_)
    if genuine.shape != values.shape:
        raise ScoreError(f"expected one class per score: {values.size} scores, got {genuine.size} classes")
    if window < 1:
        raise ScoreError(f"expected a window of at least one capture, got {window}")
    accepted = values >= _check.decision_threshold(threshold)
    bpcer = _share(genuine & ~accepted, genuine, window, least)
    apcer = _share(~genuine & accepted, ~genuine, window, least)
    return MovingRates(bpcer, apcer, (bpcer + apcer) / 2)


def _share(errors: ArrayLike, members: ArrayLike, window: int, least: int) -> Array:
    wrong, total = (_last(np.asarray(flags), window) for flags in (errors, members))
    out = np.full(total.size, np.nan)
    np.divide(wrong, total, out=out, where=total >= least)
    return out


def _last(flags: _check.IntArray, window: int) -> Array:
    """How many of the last ``window`` flags are set."""
    sums = np.concatenate([[0], np.cumsum(flags)]).astype(np.float64)
    end = np.arange(1, sums.size)
    return np.asarray(sums[end] - sums[np.maximum(end - window, 0)])
