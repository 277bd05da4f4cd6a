"""Species and families: every species has one, in one place."""

from __future__ import annotations

import numpy as np
import pytest

from mfas.core import FAMILIES, Family
from mfas.data.species import FAMILY_OF, SPECIES, family_targets


def test_every_species_is_of_one_family_and_every_family_has_some() -> None:
    assert set(FAMILY_OF) == set(SPECIES)
    assert set(FAMILY_OF.values()) == set(Family)
    assert Family.UNKNOWN not in FAMILIES


def test_what_the_simulator_makes_has_families_that_heads_can_learn() -> None:
    pytest.importorskip("numba")
    from mfas.simulation.species import species_names

    assert {FAMILY_OF[name] for name in species_names()} == set(FAMILIES)


def test_targets_name_one_family_none_for_a_living_face_and_nothing_for_the_unknown() -> None:
    found = family_targets(["", "mask_silicone", "replay_oled", "unknown"])
    assert found.dtype == np.float32
    assert found[:3].tolist() == [[0, 0, 0, 0, 0], [0, 0, 0, 1, 0], [0, 1, 0, 0, 0]]
    assert np.isnan(found[3]).all()
    assert family_targets([]).shape == (0, 5)
