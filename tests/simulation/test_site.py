from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mfas.data.species import SPECIES
from mfas.errors import ConfigError
from mfas.simulation import load_site, site_names
from mfas.simulation.species import ATTACKS


def _values() -> dict[str, Any]:
    return load_site("office").model_dump(mode="json")


def test_built_in_sites_differ_in_species() -> None:
    assert site_names() == ("dev_a", "dev_b", "gate", "kiosk", "office", "phone")
    mixes = {name: set(load_site(name).species) for name in ("office", "kiosk", "phone", "gate")}
    for name, mix in mixes.items():
        others = set().union(*(m for other, m in mixes.items() if other != name))
        assert mix - others, f"{name} has no species of its own"


def test_every_species_is_one_a_manifest_knows() -> None:
    assert set(ATTACKS) <= set(SPECIES)
    assert all(species.name == name for name, species in ATTACKS.items())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"lamp": 1}, "lamp"),
        ({"distance_mm": [-5, 10]}, "distance_mm"),
        ({"distance_mm": [900, 800]}, "distance_mm"),
        ({"species": {"print_flat": {"share": 0.5}}}, "species"),
        ({"species": {"hologram": {"share": 1.0}}}, "hologram"),
        ({"depth": {"kind": "sonar"}}, "depth"),
        ({"depth": {"kind": "time_of_flight", "baseline_mm": 3}}, "baseline_mm"),
        ({"rgb": {"photons": -1}}, "photons"),
        ({"rgb": {"blur_px": [0.9, 0.2]}}, "rgb.blur_px"),
        ({"nir": {"bits": 12}}, "nir.bits"),
        ({"background": {"distance_mm": [0, 900]}}, "background.distance_mm"),
        ({"light": {"kelvin": [6000, 3000]}}, "light.kelvin"),
        ({"depth": {"kind": "lidar"}}, "'depth.kind': expected one of structured_light, time_of_flight"),
        ({"depth": {"noise_mm": 2}}, "expected a value for 'depth.kind'"),
    ],
)
def test_a_wrong_site_is_refused_by_name(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**_values(), **change}), encoding="utf-8")
    with pytest.raises(ConfigError, match=named):
        load_site(path)


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(ConfigError, match="office"):
        load_site("moon")
