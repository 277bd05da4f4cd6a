"""No single number that has nothing to do with the attack may tell the classes apart; physical cues are there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mfas.benchmark.separation import Groups, separate
from mfas.data.box import FULL
from mfas.data.catalogue import STATISTICS
from mfas.data.manifest import Manifest, read_manifest
from mfas.data.measure import Measured, measure_manifest

SITES = ("office", "kiosk", "phone", "gate")


@pytest.fixture(scope="module")
def measured(rendered: dict[str, Path]) -> dict[str, tuple[Manifest, Measured]]:
    manifests = {site: read_manifest(path) for site, path in rendered.items()}
    return {site: (manifest, measure_manifest(manifest)) for site, manifest in manifests.items()}


@pytest.mark.parametrize("site", SITES)
def test_no_shortcut_separates_the_classes(measured: dict[str, tuple[Manifest, Measured]], site: str) -> None:
    manifest, found = measured[site]
    (groups,) = Groups.of(manifest)
    assert not found.unreadable
    judged = 0
    for item in (item for item in STATISTICS if not item.physical):
        result = separate(found.values[item.name], groups, 10)
        judged += result.auc is not None
        assert (result.auc or 0) < 0.9, f"{item.name} separates the classes at {site}: AUC {result.auc:.2f}"
    assert judged >= 25


def test_screens_are_dark_in_infrared(measured: dict[str, tuple[Manifest, Measured]]) -> None:
    manifest, found = measured["gate"]
    level, species = found.values["ir_middle"], manifest.column("species")
    assert np.median(level[species == "replay_lcd"]) < 0.7 * np.median(level[species == ""])


def test_the_kiosk_measures_like_a_time_of_flight_camera(rendered: dict[str, Path]) -> None:
    """Against real captures: noise 1.3 to 2.0 mm, at most 23 % missing, relief 39 to 106 mm, distance 730 to 990 mm.

    The region is the whole image, as for a crop marked `full`: the square around the box alone holds less relief.
    """
    manifest = read_manifest(rendered["kiosk"])
    table = manifest.filter(species=[""]).table
    boxes = table.column_names.index("box")
    whole = Manifest(table.set_column(boxes, "box", [[FULL] * table.num_rows]), manifest.root)
    found = {name: np.median(column) for name, column in measure_manifest(whole).values.items()}
    assert 1.3 < found["depth_noise"] < 2.0
    assert 0.03 < found["depth_missing"] < 0.23
    assert 39 < found["depth_relief"] < 106
    assert 0.730 < found["depth_distance"] < 0.990
