"""How far a pseudo label can be relied on: a curve fitted on labelled data, and the check of what it claimed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfas.errors import ScoreError
from mfas.metrics import _check
from mfas.metrics.intervals import CONFIDENCE, Interval, clopper_pearson

_EDGES = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)


@dataclass(frozen=True, slots=True)
class Block:
    """Pseudo labels with a raw reliability of at least ``low``; ``claim`` is a lower bound of the share that is right.

    ``right`` of ``count`` units (presentations) were.
    """

    low: float
    claim: float
    right: int
    count: int


@dataclass(frozen=True, slots=True)
class ClaimBin:
    """Pseudo labels whose claim lies in [``low``, ``high``), the last bin including 1.

    ``claimed`` is the mean claim, ``right`` the share that was right, ``interval`` its exact interval over captures.
    """

    low: float
    high: float
    count: int
    claimed: float
    right: float
    interval: Interval


def fit_claims(
    raw: ArrayLike, right: ArrayLike, units: Sequence[str], bins: int = 10, confidence: float = CONFIDENCE
) -> tuple[Block, ...]:
    """A non-decreasing curve from raw reliability in [0, 1] to "right at least as often as this".

    At most ``bins`` equal shares of the pseudo labels, of 20 or more, are pooled until the share that is right rises
    strictly (isotonic regression by pooling). Each pool gets the one-sided Clopper-Pearson bound at ``confidence``. A
    unit counts once in a pool and is right only if all its pseudo labels there are, since captures of a presentation
    are not independent. Where a bound falls below an earlier one, the earlier gives way. No pseudo labels, no blocks.

    >>> blocks = fit_claims([0.2] * 40 + [0.9] * 40, [0, 1] * 20 + [1] * 40, [str(i) for i in range(80)], bins=2)
    >>> [(block.low, round(block.claim, 2), block.count) for block in blocks]
    [(0.2, 0.36, 40), (0.9, 0.93, 40)]
    """
    values, truth = _pairs(raw, right)
    owners = np.asarray(_check.names(units, values.size, "the pseudo labels"), dtype=np.str_)
    if not values.size:
        return ()
    parts = min(bins, max(1, values.size // 20))
    lows = np.unique(np.sort(values)[np.arange(parts) * values.size // parts])
    index = np.searchsorted(lows, values, side="right") - 1
    pools: list[NDArray[np.int64]] = []
    for bin_ in range(lows.size):
        pools.append(np.flatnonzero(index == bin_))
        while len(pools) > 1 and _share(pools[-1], truth, owners) <= _share(pools[-2], truth, owners):
            last = pools.pop()
            pools[-1] = np.concatenate([pools[-1], last])
    blocks = [_block(pool, values, truth, owners, confidence) for pool in pools]
    lowest = np.minimum.accumulate([block.claim for block in blocks][::-1])[::-1]
    return tuple(Block(b.low, float(c), b.right, b.count) for b, c in zip(blocks, lowest, strict=True))


def claim_bins(claimed: ArrayLike, right: ArrayLike, edges: Sequence[float] = _EDGES) -> tuple[ClaimBin, ...]:
    """The reliability diagram of pseudo labels: claims in bins against the share that was right; filled bins only.

    >>> [(b.count, b.right) for b in claim_bins([0.6, 0.96, 0.97], [0, 1, 1])]
    [(1, 0.0), (2, 1.0)]
    """
    values, truth = _pairs(claimed, right)
    index = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    out = []
    for bin_ in np.unique(index).tolist():
        rows = index == bin_
        count, good = int(rows.sum()), int(truth[rows].sum())
        interval = clopper_pearson(good, count, unit="capture")
        out.append(ClaimBin(edges[bin_], edges[bin_ + 1], count, float(values[rows].mean()), good / count, interval))
    return tuple(out)


def _pairs(values: ArrayLike, right: ArrayLike) -> tuple[_check.Array, NDArray[np.bool_]]:
    checked = _check.scores(values, "the reliability of pseudo labels")
    truth = np.asarray(right, dtype=np.bool_)
    if truth.shape != checked.shape:
        raise ScoreError(f"expected one truth per pseudo label: {checked.size} of them, got {truth.size}")
    return checked, truth


def _units(pool: NDArray[np.int64], truth: NDArray[np.bool_], owners: NDArray[np.str_]) -> tuple[int, int]:
    """How many units of a pool are right, and how many there are."""
    names, group = np.unique(owners[pool], return_inverse=True)
    wrong = np.bincount(group, ~truth[pool], minlength=names.size)
    return int((wrong == 0).sum()), int(names.size)


def _share(pool: NDArray[np.int64], truth: NDArray[np.bool_], owners: NDArray[np.str_]) -> float:
    right, count = _units(pool, truth, owners)
    return right / count


def _block(
    pool: NDArray[np.int64],
    values: _check.Array,
    truth: NDArray[np.bool_],
    owners: NDArray[np.str_],
    confidence: float,
) -> Block:
    right, count = _units(pool, truth, owners)
    one_sided = 2 * _check.fraction(confidence, "the confidence") - 1
    return Block(float(values[pool].min()), clopper_pearson(right, count, one_sided).low, right, count)
