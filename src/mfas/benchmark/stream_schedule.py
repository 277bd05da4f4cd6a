"""Orders of arrival, as pure functions over places of a stream: site after site, site into site, kinds in clumps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def site_schedule(count: int, sites: int, linear: bool, rng: np.random.Generator) -> NDArray[np.int64]:
    """The site, 0 to ``sites`` - 1, of each of ``count`` presentations; every site comes once.

    In steps: equal stretches. Linear: between two neighbours the share of the later one rises from 0 to 1 along a
    stretch; which presentations are its own is drawn.

    >>> site_schedule(6, 3, False, np.random.default_rng(0)).tolist()
    [0, 0, 1, 1, 2, 2]
    """
    if not linear:
        return np.arange(count) * sites // max(1, count)
    position = (np.arange(count) + 0.5) / max(1, count) * (sites - 1)
    before = np.floor(position).astype(np.int64)
    return before + (rng.random(count) < position - before)


def correlated_order(
    kinds: Sequence[str], concentration: float, slots: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Places of ``kinds`` in a temporally correlated order.

    The members of each kind are split over the slots by shares drawn from a symmetric Dirichlet distribution; slots
    follow each other, and in a slot kinds follow each other in an order drawn for it.
    """
    by_slot: list[list[NDArray[np.int64]]] = [[] for _ in range(slots)]
    for kind in sorted(set(kinds)):
        places = rng.permutation(np.flatnonzero([k == kind for k in kinds]))
        shares = rng.dirichlet(np.full(slots, concentration))
        cuts = np.round(np.cumsum(shares)[:-1] * len(places)).astype(np.int64)
        for slot, chosen in enumerate(np.split(places, cuts)):
            by_slot[slot].append(chosen)
    return np.concatenate([own[i] for own in by_slot for i in rng.permutation(len(own))])
