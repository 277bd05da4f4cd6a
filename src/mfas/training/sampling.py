"""Which captures an epoch shows: bona fide and attacks alike often, sites and species evened out within each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def balanced_weights(
    bona_fide: NDArray[np.bool_], sites: NDArray[np.str_], species: NDArray[np.str_], power: float = 0.5
) -> NDArray[np.float64]:
    """Sampling probabilities, one per capture, that sum to 1.

    Half the mass goes to each class; within a class every (site, species) group weighs its size to the power
    ``1 - power`` (0 = as in the data, 1 = all groups alike). With one class only, that class gets all.
    """
    groups = np.char.add(np.char.add(sites.astype(str), "\0"), species.astype(str))
    _, group, size = np.unique(groups, return_inverse=True, return_counts=True)
    weight = (1.0 / size[group]) ** power
    for rows in (bona_fide, ~bona_fide):
        if rows.any():
            weight[rows] /= weight[rows].sum()
    return np.asarray(weight / weight.sum(), dtype=np.float64)


def epoch_order(weights: NDArray[np.float64], count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """``count`` capture indices for one epoch, by low-variance resampling and a shuffle; same seed, same order."""
    rng = np.random.default_rng([seed, epoch])
    positions = (rng.random() + np.arange(count)) / count
    chosen = np.minimum(np.searchsorted(np.cumsum(weights), positions), len(weights) - 1)
    return np.asarray(rng.permutation(chosen), dtype=np.int64)
