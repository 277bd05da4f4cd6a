"""Many comparisons at once: p values that keep the chance of any false finding at its level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from mfas.errors import ScoreError


def holm(p_values: Sequence[float] | ArrayLike) -> list[float]:
    """Holm's step-down adjustment (Holm 1979), in the order given; each result in [0, 1].

    The i-th smallest of m values (from 0) becomes the largest of ``(m - j) * p_j`` over j <= i, at most 1. Comparing
    the results with a level keeps the family-wise error rate at that level, however the comparisons depend on another.
    Raises `ScoreError` for a value outside [0, 1].

    >>> [round(p, 3) for p in holm([0.04, 0.01, 0.03])]
    [0.06, 0.03, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim != 1 or not bool(np.all((values >= 0) & (values <= 1))):
        raise ScoreError("expected p values as a list of numbers in [0, 1], got something else")
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1))
    out = np.empty(values.size)
    out[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in out]
