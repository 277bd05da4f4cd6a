"""Known presentation attack instruments (PAI species), what each is, and of which family."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from mfas.core import FAMILIES, UNKNOWN_SPECIES, Family

SPECIES: dict[str, str] = {
    "print_flat": "a printed photograph held flat",
    "print_curved": "a printed photograph bent around a cylinder",
    "print_cut": "a printed photograph with holes at eyes, nose or mouth",
    "replay_lcd": "a liquid-crystal screen",
    "replay_oled": "an OLED screen",
    "mask_paper": "a folded paper mask",
    "mask_rigid": "a resin or plastic mask",
    "mask_silicone": "a flexible silicone or latex mask",
    "fake_head": "a mannequin or model head",
    "glasses": "a live face behind printed or funny-eye glasses",
    "partial_paper": "a live face partly covered by a print",
    "makeup": "a live face made up to look like another person",
    UNKNOWN_SPECIES: "an attack whose instrument is not known",
}
"""Name of each species a manifest may hold, and its description. Bona fide captures have an empty species."""

FAMILY_OF: dict[str, Family] = {
    "print_flat": Family.PRINT,
    "print_curved": Family.PRINT,
    "print_cut": Family.PRINT,
    "replay_lcd": Family.REPLAY,
    "replay_oled": Family.REPLAY,
    "mask_paper": Family.RIGID_MASK,
    "mask_rigid": Family.RIGID_MASK,
    "fake_head": Family.RIGID_MASK,
    "mask_silicone": Family.FLEXIBLE_MASK,
    "glasses": Family.PARTIAL,
    "partial_paper": Family.PARTIAL,
    "makeup": Family.PARTIAL,
    UNKNOWN_SPECIES: Family.UNKNOWN,
}
"""The one place that maps species to families.

A folded paper mask counts as a rigid mask: it has the relief of a face and does not move with one. Glasses, partial
covers and make-up leave most of a living face to be seen.
"""


def family_targets(species: Iterable[str], names: Sequence[Family] = FAMILIES) -> NDArray[np.float32]:
    """What heads of ``names`` learn, ``[N, K]``: 1 for an attack of that family, 0 for any other capture and bona fide.

    NaN in the whole row of an attack of unknown instrument: it may be of any family.

    >>> family_targets(["", "print_cut", "unknown"], (Family.PRINT, Family.REPLAY)).tolist()
    [[0.0, 0.0], [1.0, 0.0], [nan, nan]]
    """
    found = [FAMILY_OF[name] if name else None for name in species]
    rows = [[np.nan if own is Family.UNKNOWN else float(own is name) for name in names] for own in found]
    return np.array(rows, np.float32).reshape(len(rows), len(names))
