"""How well one number tells bona fide from attacks: per site, and per species of the site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfas.core import Label
from mfas.data.manifest import Manifest
from mfas.data.measure import Column
from mfas.metrics import auc

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Separation:
    """Folded AUC in [0.5, 1], or None with the ``reason``; ``higher`` names the class of the larger values.

    Counts are captures that have the statistic, and presentations of them.
    """

    auc: float | None
    higher: str
    reason: str
    n_bona_fide: int
    n_attack: int
    n_bona_fide_presentations: int
    n_attack_presentations: int
    median_bona_fide: float | None
    median_attack: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Groups:
    """Captures of one site by class: masks over the manifest, and the presentation of each capture as a number."""

    site: str
    here: Mask
    bona_fide: Mask
    attack: Mask
    species: Mapping[str, Mask]
    presentation: NDArray[np.int64]

    @staticmethod
    def of(manifest: Manifest) -> list[Groups]:
        """One for each site, in name order."""
        sites, label, species = (manifest.column(name) for name in ("site", "label", "species"))
        presentation = np.unique(manifest.column("presentation_id").astype(str), return_inverse=True)[1]
        found = []
        for site in manifest.counts("site"):
            here = sites == site
            attack = here & (label == Label.ATTACK.value)
            kinds = {name: attack & (species == name) for name in sorted(set(species[attack]))}
            found.append(Groups(site, here, here & (label == Label.BONA_FIDE.value), attack, kinds, presentation))
        return found


def separate(values: Column, groups: Groups, least: int, species: str | None = None) -> Separation:
    """Compare bona fide with all attacks of a site, or with one species.

    None with a reason when a class has fewer than ``least`` presentations with the statistic, or it never changes.
    """
    known = ~np.isnan(values)
    genuine = known & groups.bona_fide
    fake = known & (groups.attack if species is None else groups.species[species])
    counts = [int(np.unique(groups.presentation[mask]).size) for mask in (genuine, fake)]
    reason = _reason(values, genuine, fake, counts, least)
    area = None if reason else _auc(values[genuine], values[fake])
    higher = "" if area is None or area == 0.5 else Label.BONA_FIDE.value if area > 0.5 else Label.ATTACK.value
    return Separation(
        None if area is None else max(area, 1.0 - area),
        higher,
        reason,
        int(genuine.sum()),
        int(fake.sum()),
        counts[0],
        counts[1],
        _median(values[genuine]),
        _median(values[fake]),
    )


def _reason(values: Column, genuine: Mask, fake: Mask, counts: list[int], least: int) -> str:
    if not genuine.any() and not fake.any():
        return "not measured"
    for count, name in zip(counts, ("bona fide", "attack"), strict=True):
        if count < least:
            return f"fewer than {least} {name} presentations with it: {count}"
    return "constant" if np.ptp(values[genuine | fake]) == 0 else ""


def _auc(genuine: Column, fake: Column) -> float:
    """Through ranks: an AUC asks for the order only, and scores lie in [0, 1]."""
    order = np.unique(np.concatenate([genuine, fake]), return_inverse=True)[1] / (genuine.size + fake.size)
    return auc(order[: genuine.size], {Label.ATTACK.value: order[genuine.size :]})


def _median(values: Column) -> float | None:
    return float(np.median(values)) if values.size else None
