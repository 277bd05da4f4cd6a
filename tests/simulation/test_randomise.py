"""Random sites: valid, repeatable, unlike one another, and spread over everything a site can be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mfas.errors import ConfigError
from mfas.simulation import Faults, Site, load_site, random_site, simulate
from mfas.simulation.species import species_names

COUNT = 200


@pytest.fixture(scope="module")
def sites() -> list[Site]:
    """Each was validated when it was made."""
    return [random_site(seed) for seed in range(COUNT)]


def test_a_seed_is_a_site_and_another_seed_another(sites: list[Site]) -> None:
    assert [random_site(seed) for seed in range(5)] == sites[:5]
    bare = {site.model_copy(update={"name": "x", "description": ""}).model_dump_json() for site in sites}
    assert len(bare) == COUNT


def test_no_setting_of_sensors_light_or_people_is_left_at_one_value(sites: list[Site]) -> None:
    for part in ("light", "background", "pose", "population", "rgb", "nir"):
        for key in type(getattr(sites[0], part)).model_fields:
            assert len({str(getattr(getattr(site, part), key)) for site in sites}) > 1, f"{part}.{key}"
    for kind in ("structured_light", "time_of_flight", "active_stereo"):
        sensors = [site.depth for site in sites if site.depth.kind == kind]
        assert len(sensors) > COUNT / 5
        for key in set(type(sensors[0]).model_fields) - {"kind"}:
            assert len({str(getattr(sensor, key)) for sensor in sensors}) > 1, f"{kind}.{key}"
    for key in Faults.model_fields:
        assert 0 < sum(getattr(site.faults, key) != getattr(Faults(), key) for site in sites) < COUNT / 2


def test_every_species_comes_and_no_site_has_one_only(sites: list[Site]) -> None:
    assert set().union(*(site.species for site in sites)) == set(species_names())
    assert min(len(site.species) for site in sites) == 2
    assert max(len(site.species) for site in sites) == len(species_names())
    assert min(mix.share for site in sites for mix in site.species.values()) > 0.01


def test_sensors_reach_where_people_stand(sites: list[Site]) -> None:
    for site in sites:
        near, far = site.depth.reach_mm
        assert near < site.distance_mm[0]
        assert site.distance_mm[1] < far <= 65535 * site.depth.unit_mm


def test_a_share_of_the_cameras_is_an_ordinary_webcam(sites: list[Site]) -> None:
    webcams = [site.rgb.jpeg[0] < 50 and site.rgb.sampling[1] <= 0.7 for site in sites if "webcam" in site.description]
    assert 0.2 * COUNT < len(webcams) < 0.4 * COUNT
    assert all(webcams)


def test_random_sites_render_faces_that_depth_can_see(tmp_path: Path) -> None:
    from mfas.data.images import read_raw_depth
    from mfas.data.manifest import read_manifest

    for seed in range(2):
        listed = read_manifest(simulate(random_site(seed), count=6, seed=1, out=tmp_path / str(seed)))
        seen = [
            np.mean(read_raw_depth(listed.resolve(row.depth), "metric")[40:72, 40:72] > 0)
            for row in listed
            if row.depth
        ]
        assert np.median(seen) > 0.6


def test_a_random_site_has_a_name_like_any_other() -> None:
    assert load_site("random:17") == random_site(17)
    assert load_site("random:17").name == "random_17"
    for text in ("random:", "random:x", "random:-1"):
        with pytest.raises(ConfigError, match="random:NUMBER"):
            load_site(text)
