"""Scaling of pixels to network input, against values worked out by hand."""

import numpy as np
import pytest

from mfas.card import Preprocess
from mfas.core import Modality
from mfas.data.box import Box
from mfas.data.preprocess import Capture, normalise_depth, normalise_ir, normalise_rgb, preprocess

SPEC = Preprocess(size=48)


def test_rgb_by_the_card() -> None:
    spec = Preprocess(size=48, rgb_mean=(0.1, 0.2, 0.3), rgb_std=(0.5, 0.25, 0.2))
    out = normalise_rgb(np.full((48, 48, 3), (0, 51, 255), np.uint8), spec)
    assert out.shape == (3, 48, 48)
    assert out[:, 5, 5] == pytest.approx([-0.2, 0.0, 3.5], abs=1e-5)


def test_depth_is_relative_to_the_face_and_holes_are_marked() -> None:
    crop = np.full((48, 48), 0.9, np.float32)
    crop[20, 20], crop[21, 21], crop[22, 22], crop[0, 0], crop[0, 1] = 0.87, 0.2, np.nan, 5.0, 20.0
    out = normalise_depth(crop, SPEC)
    assert out.shape == (2, 48, 48)
    assert out[0, 30, 30] == 0
    assert out[0, 20, 20] == pytest.approx(-0.03 / 0.15, abs=1e-5)
    assert out[0, 21, 21] == -1
    assert out[0, 0, 0] == 1
    assert out[:, 22, 22].tolist() == [0, 0]
    assert out[:, 0, 1].tolist() == [0, 0]
    assert out[1].sum() == 48 * 48 - 2
    assert np.isfinite(out).all()


def test_camera_distance_is_no_cue() -> None:
    relief = np.random.default_rng(0).normal(0, 0.01, (48, 48)).astype(np.float32)
    near, far = normalise_depth(relief + 0.3, SPEC), normalise_depth(relief + 1.7, SPEC)
    assert np.allclose(near, far, atol=1e-4)


def test_depth_without_a_face_in_the_middle_or_at_all() -> None:
    crop = np.full((48, 48), np.nan, np.float32)
    assert not normalise_depth(crop, SPEC).any()
    crop[:4] = 0.5
    out = normalise_depth(crop, SPEC)
    assert out[0].max() == 0
    assert out[1].sum() == 4 * 48


def test_relative_depth_is_scaled_to_the_relief_of_a_face() -> None:
    ramp = np.tile(np.linspace(0.2, 0.8, 48, dtype=np.float32), (48, 1))
    steep, shallow = (normalise_depth(0.5 + f * (ramp - 0.5), SPEC, relative=True) for f in (1.0, 0.3))
    assert np.allclose(steep, shallow, atol=0.02)
    middle = steep[0, 16:32, 16:32]
    assert np.percentile(middle, 95) - np.percentile(middle, 5) == pytest.approx(0.05 / 0.15, abs=0.03)
    assert np.abs(normalise_depth(np.full((48, 48), 0.5, np.float32), SPEC, relative=True)[0]).max() == 0


def test_infrared_is_exposure_free_at_any_depth_of_bits() -> None:
    face = np.random.default_rng(0).integers(40, 120, (48, 48))
    one, two = normalise_ir(face.astype(np.uint8), SPEC), normalise_ir((face * 257).astype(np.uint16), SPEC)
    half = normalise_ir((face * 100).astype(np.uint16), SPEC)
    assert one.shape == (1, 48, 48)
    assert np.allclose(one, two, atol=1e-4)
    assert np.allclose(one, half, atol=1e-4)
    level = np.percentile(face[16:32, 16:32], 75, method="lower")
    assert one[0, 0, 0] == pytest.approx((face[0, 0] / level - 0.7) / 0.4, abs=1e-4)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_dark_infrared_frame_stays_dark_and_finite(kind: type) -> None:
    out = normalise_ir(np.zeros((48, 48), kind), SPEC)
    assert np.allclose(out, -0.7 / 0.4)
    noise = np.random.default_rng(0).integers(0, 2, (48, 48)).astype(kind)
    assert normalise_ir(noise, SPEC).max() <= (0.5 - 0.7) / 0.4 + 1e-6


def test_infrared_glare_is_clipped() -> None:
    crop = np.full((48, 48), 1000, np.uint16)
    crop[0, 0] = 65_535
    assert normalise_ir(crop, SPEC).max() == pytest.approx((2.0 - 0.7) / 0.4)


def test_the_three_images_are_cut_at_the_same_place() -> None:
    """A bright square in RGB, its copy at half the resolution in infrared and depth: all land on the same pixels."""
    rgb = np.zeros((200, 300, 3), np.uint8)
    rgb[60:120, 100:160] = 255
    ir = np.full((100, 150), 10, np.uint16)
    ir[30:60, 50:80] = 1000
    depth = np.full((100, 150), 15_000, np.uint16)
    depth[30:60, 50:80] = 10_000
    capture = Capture(
        {Modality.RGB: rgb, Modality.DEPTH: depth, Modality.IR: ir}, Box(100, 60, 60, 60), (200, 300), 0.0001
    )
    out = preprocess(capture, Preprocess(size=60, crop_scale=2.0))
    inside = out[Modality.RGB][0] > 0
    assert inside.sum() == 30 * 30
    assert np.array_equal(out[Modality.IR][0] > 0, inside)
    assert np.array_equal(out[Modality.DEPTH][0] < 1, inside)
    assert {m: x.shape[0] for m, x in out.items()} == {m: SPEC.channels(m) for m in Modality}
    assert all(x.dtype == np.float32 for x in out.values())
