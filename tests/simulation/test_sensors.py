from __future__ import annotations

import numpy as np
import pytest

from mfas.simulation.geometry import Floats
from mfas.simulation.sensors import ActiveStereo, NirCamera, RgbCamera, StructuredLight, TimeOfFlight

SIZE = 96


def _plane(distance: float) -> tuple[Floats, Floats, Floats, Floats]:
    one = np.ones((SIZE, SIZE), np.float32)
    return one * distance, one * 0.5, one, one * 0


def _box(near: float, far: float) -> Floats:
    z = np.full((SIZE, SIZE), far, np.float32)
    z[24:72, 36:60] = near
    return z


@pytest.mark.parametrize(
    ("sensor", "expected"),
    [(TimeOfFlight(noise_mm=2.0), 2.0), (StructuredLight(noise_mm=1.0, reference_mm=800), 1.0)],
)
def test_noise_on_a_plane_is_what_the_setting_says(sensor: TimeOfFlight | StructuredLight, expected: float) -> None:
    depth = sensor.measure(*_plane(800), 0.0, 120.0, np.random.default_rng(0)).astype(float)
    good = depth[depth > 0]
    assert good.size > 0.97 * depth.size
    assert np.std(good) == pytest.approx(expected, rel=0.25)
    assert np.mean(good) == pytest.approx(800, abs=2)


def test_stereo_noise_grows_with_the_square_of_distance() -> None:
    sensor = ActiveStereo()
    spread = [
        np.std(d[d > 0].astype(float))
        for d in (sensor.measure(*_plane(z), 0.0, 120.0, np.random.default_rng(1)) for z in (700.0, 1400.0))
    ]
    assert spread[1] / spread[0] == pytest.approx(4, rel=0.35)


def test_structured_light_casts_its_shadow_on_one_side() -> None:
    _, signal, facing, gloss = _plane(1)
    sensor = StructuredLight(baseline_mm=50, speckle_hole=0, noise_mm=0, smooth_px=0)
    depth = sensor.measure(_box(500, 900), signal, facing, gloss, 0.0, 140.0, np.random.default_rng(0))
    left, right = (depth[30:66, 24:36] == 0).mean(), (depth[30:66, 60:72] == 0).mean()
    assert left > 0.3
    assert right == 0
    assert (depth[30:66, 40:56] > 0).all()


def test_time_of_flight_lets_pixels_fly_between_front_and_back() -> None:
    _, signal, facing, gloss = _plane(1)
    sensor = TimeOfFlight(noise_mm=0.5, flying=1.0, edge_hole=0.0)
    depth = sensor.measure(_box(500, 900), signal, facing, gloss, 0.0, 140.0, np.random.default_rng(0))
    assert ((depth > 530) & (depth < 870)).sum() > 40


@pytest.mark.parametrize("sensor", [StructuredLight(), TimeOfFlight(), ActiveStereo()])
def test_nothing_comes_back_from_black(sensor: StructuredLight | TimeOfFlight | ActiveStereo) -> None:
    z, signal, facing, gloss = _plane(700)
    depth = sensor.measure(z, signal * 0, facing, gloss, 0.5, 120.0, np.random.default_rng(0))
    assert depth.dtype == np.uint16
    assert (depth == 0).mean() > 0.6


def test_rgb_exposes_to_its_aim_whatever_the_light() -> None:
    camera = RgbCamera(exposure_error=0.0, jpeg=(100, 100), vignette=0.0, white_balance_error=0.0)
    scene = np.random.default_rng(0).uniform(0.2, 0.8, (SIZE, SIZE, 3)).astype(np.float32)
    pictures = [camera.expose(scene * k, np.random.default_rng(1), np.random.default_rng(2)) for k in (0.1, 1.0, 10.0)]
    means = [p.mean() for p in pictures]
    assert pictures[0].dtype == np.uint8
    assert max(means) - min(means) < 2
    assert 90 < means[0] < 150


def test_infrared_noise_falls_with_light_and_gain_scales() -> None:
    camera = NirCamera(gain=(1.0, 1.0), ambient=(0.0, 0.0), hotspot=0.0)
    dark = np.full((SIZE, SIZE), 0.1, np.float32)
    images = [
        camera.expose(dark * k, dark * 0, np.random.default_rng(1), np.random.default_rng(2)).astype(float)
        for k in (1, 4)
    ]
    assert images[1].mean() / images[0].mean() == pytest.approx(4, rel=0.05)
    assert images[1].std() / images[1].mean() < images[0].std() / images[0].mean()
    assert camera.expose(dark * 40, dark, np.random.default_rng(1), np.random.default_rng(2)).min() > 250


@pytest.mark.parametrize("sensor", [StructuredLight, TimeOfFlight, ActiveStereo])
def test_a_finer_count_of_depth_is_the_same_depth(sensor: type[StructuredLight]) -> None:
    coarse, fine = (
        sensor(unit_mm=unit).measure(*_plane(700.3), 0.0, 120.0, np.random.default_rng(3)).astype(float) * unit
        for unit in (1.0, 0.1)
    )
    known = (coarse > 0) & (fine > 0)
    assert known.mean() > 0.9
    assert np.abs(coarse - fine)[known].max() <= 0.551
    assert np.any(np.abs(fine[known] - np.rint(fine[known])) > 0.05)


def test_sixteen_bits_hold_the_same_picture_as_eight() -> None:
    scene = np.full((SIZE, SIZE), 0.4, np.float32)
    eight, sixteen = (
        NirCamera(bits=bits).expose(scene, scene * 0, np.random.default_rng(1), np.random.default_rng(2))
        for bits in (8, 16)
    )
    assert (eight.dtype, sixteen.dtype) == (np.uint8, np.uint16)
    assert np.abs(sixteen / 257 - eight).max() <= 0.51
