"""Statistics against arrays whose answer is known, and captures measured through files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mfas.core import MODALITIES
from mfas.data import statistics as of
from mfas.data.box import Box
from mfas.data.catalogue import STATISTICS
from mfas.data.crops import Region
from mfas.data.manifest import Manifest
from mfas.data.measure import face_region, measure_capture, measure_manifest
from mfas.errors import ImageError

WHOLE = Region(0, 0, 90)
Rows = Callable[[int], list[dict[str, object]]]
Png = Callable[..., str]


def plane(tilt_x: float = 0.0, tilt_y: float = 0.0, at: float = 0.6, focal: float = 120.0) -> np.ndarray:
    """Depth of a tilted plane through a pinhole, metres ``[90, 90]``."""
    v, u = (np.mgrid[:90, :90] - 44.5) / focal
    return (at / (1 - tilt_x * u - tilt_y * v)).astype(np.float32)


def test_a_frontal_plane_has_no_relief() -> None:
    found = of.depth_statistics(plane(), WHOLE)
    assert found["depth_distance"] == pytest.approx(0.6)
    assert found["depth_relief"] == found["depth_missing"] == found["depth_dark_border"] == 0
    assert found["depth_plane"] < 1e-3
    assert found["depth_noise"] < 1e-3


@pytest.mark.parametrize("tilt", [(0.6, 0.0), (0.0, -0.8), (0.5, 0.7)])
def test_a_tilted_plane_has_relief_but_none_about_its_plane(tilt: tuple[float, float]) -> None:
    found = of.depth_statistics(plane(*tilt), WHOLE)
    assert found["depth_relief"] > 50
    assert found["depth_plane"] < 0.01


def test_a_bump_on_a_tilted_plane_is_found_about_the_plane() -> None:
    rows, columns = np.mgrid[:90, :90] - 44.5
    bump = 0.03 * np.exp(-(rows**2 + columns**2) / 100)
    found = of.depth_statistics((plane(0.5) - bump).astype(np.float32), WHOLE)
    assert 15 < found["depth_plane"] < 35


@pytest.mark.parametrize("sigma_mm", [0.2, 1.6, 5.0])
@pytest.mark.parametrize("holes", [0.0, 0.2])
def test_planted_noise_is_measured(sigma_mm: float, holes: float) -> None:
    rng = np.random.default_rng(0)
    tilt = 0.0 if holes else 0.3
    depth = (plane(tilt, tilt) + 0.001 * sigma_mm * rng.standard_normal((90, 90))).astype(np.float32)
    depth[rng.random((90, 90)) < holes] = np.nan
    assert of.depth_statistics(depth, WHOLE)["depth_noise"] == pytest.approx(0.945 * sigma_mm, rel=0.08)


def test_holes_are_shares_and_an_empty_middle_says_nothing_more() -> None:
    depth = plane()
    depth[:, :45] = np.nan
    found = of.depth_statistics(depth, WHOLE)
    assert found["depth_missing"] == found["depth_missing_middle"] == 0.5
    depth[30:60, 30:60] = np.nan
    assert set(of.depth_statistics(depth, WHOLE)) == {"depth_dark_border", "depth_missing", "depth_missing_middle"}
    assert set(of.depth_statistics(plane(), None)) == {"depth_dark_border"}
    assert "depth_distance" not in of.depth_statistics(plane(), WHOLE, relative=True)


def test_levels_of_a_colour_image() -> None:
    image = np.full((56, 56, 3), 102, np.uint8)
    image[..., 0], image[..., 2] = 120, 60
    found = of.rgb_statistics(image)
    assert found["rgb_exposure"] == pytest.approx(94 / 255)
    assert found["rgb_colour_cast"] == pytest.approx(2)
    assert found["rgb_contrast"] == pytest.approx(0, abs=1e-6)
    assert found["rgb_border"] == pytest.approx(94 / 255)
    assert found["rgb_dark_border"] == 0


def test_sharpness_falls_with_blur_and_knows_no_contrast() -> None:
    image = np.random.default_rng(1).integers(60, 200, (80, 80, 3), dtype=np.uint8)
    sharp = of.rgb_statistics(image)["rgb_sharpness"]
    assert of.rgb_statistics(cv2.GaussianBlur(image, (0, 0), 1.0))["rgb_sharpness"] < 0.2 * sharp
    faint = (image // 4 + 90).astype(np.uint8)
    assert of.rgb_statistics(faint)["rgb_sharpness"] == pytest.approx(sharp, rel=0.05)


@pytest.mark.parametrize("side", ["top", "bottom", "left", "right"])
def test_a_black_band_on_any_side_is_seen(side: str) -> None:
    image = np.full((56, 56, 3), 120, np.uint8)
    band = {"top": np.s_[:2], "bottom": np.s_[-2:], "left": np.s_[:, :2], "right": np.s_[:, -2:]}
    image[band[side]] = 1
    assert of.rgb_statistics(image)["rgb_dark_border"] > 0.2


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_infrared_levels_are_shares_of_the_full_scale(kind: type[np.unsignedinteger]) -> None:
    full = np.iinfo(kind).max
    image = np.full((90, 90), round(0.1 * full), kind)
    image[30:60, 30:60] = round(0.4 * full)
    image[0, 0] = full
    found = of.ir_statistics(image, WHOLE)
    assert found["ir_middle"] == pytest.approx(0.4, abs=0.01)
    assert found["ir_p99"] == pytest.approx(0.4, abs=0.01)
    assert found["ir_median"] == pytest.approx(0.1, abs=0.01)
    assert found["ir_background_share"] == pytest.approx(0.25, abs=0.01)
    assert found["ir_saturated"] == 1 / 8100
    assert "ir_middle" not in of.ir_statistics(image, None)
    assert "ir_background_share" not in of.ir_statistics(np.zeros_like(image), WHOLE)


def test_box_and_file() -> None:
    assert of.box_statistics(Box(10, 20, 40, 50), (200, 100)) == {
        "box_height": 50,
        "box_x": 0.3,
        "box_y": 0.225,
        "box_aspect": 0.8,
    }
    found = of.file_statistics("ir", (20, 40), 1600, lossy=True)
    assert found["ir_bytes_per_pixel"] == 2
    assert (found["ir_width"], found["ir_height"], found["ir_aspect"], found["ir_lossy"]) == (40, 20, 2, 1)


def test_the_region_is_the_project_s_own_crop() -> None:
    image = np.zeros((60, 120), np.uint8)
    assert face_region("full", None, image, 1.3) == Region(30, 0, 60)
    assert face_region(Box(40, 20, 80, 80), (120, 240), image, 1.0) == Region(20, 10, 40)
    assert face_region(None, (120, 240), image, 1.3) is None
    with pytest.raises(ImageError, match="inside 240 x 120"):
        face_region(Box(400, 20, 80, 80), (120, 240), image, 1.0)


def test_every_statistic_of_a_capture_is_in_the_catalogue(capture_rows: Rows, tmp_path: Path) -> None:
    rows = [row | {"box": "10,8,24,30"} for row in capture_rows(2)]
    measured = measure_manifest(Manifest.from_rows(rows, tmp_path))
    assert set(measured.values) == {item.name for item in STATISTICS}
    assert len({item.name for item in STATISTICS}) == len(STATISTICS)
    assert all(np.isfinite(c).all() for name, c in measured.values.items() if name != "session_order")
    assert measured.unreadable == ()
    size = (tmp_path / str(rows[1]["ir"])).stat().st_size
    assert measured.values["ir_bytes"][1] == size


def test_workers_and_progress_change_nothing(capture_rows: Rows, tmp_path: Path) -> None:
    manifest = Manifest.from_rows(capture_rows(5), tmp_path)
    calls: list[tuple[int, int]] = []
    one = measure_manifest(manifest)
    two = measure_manifest(manifest, workers=3, progress=lambda done, total: calls.append((done, total)))
    for name, values in one.values.items():
        np.testing.assert_array_equal(values, two.values[name])
    assert calls == [(i, 5) for i in range(1, 6)]


def test_what_cannot_be_read_is_named_and_the_rest_is_measured(capture_rows: Rows, tmp_path: Path) -> None:
    rows = capture_rows(2)
    (tmp_path / str(rows[1]["rgb"])).write_bytes(b"no image")
    measured = measure_manifest(Manifest.from_rows(rows, tmp_path))
    (fault,) = measured.unreadable
    assert (fault.row, fault.column) == (2, "rgb")
    assert np.isnan(measured.values["rgb_sharpness"][1])
    assert measured.values["depth_distance"][1] == pytest.approx(0.52, abs=0.02)
    assert measured.values["rgb_present"].tolist() == [1, 1]


def test_a_box_drawn_in_an_unreadable_image_places_nothing(capture_rows: Rows, tmp_path: Path) -> None:
    rows = [capture_rows(1)[0] | {"box": "10,8,24,30"}]
    (tmp_path / str(rows[0]["rgb"])).unlink()
    manifest = Manifest.from_rows(rows, tmp_path)
    values, faults = measure_capture(manifest.row(0), manifest)
    assert [fault.column for fault in faults] == ["rgb"]
    assert "depth_distance" not in values
    assert "box_height" not in values


def test_images_of_another_view_are_named(capture_rows: Rows, png: Png, tmp_path: Path) -> None:
    rows = [capture_rows(1)[0] | {"box": "10,8,24,30", "ir": png("wide.png", np.full((48, 96), 90, np.uint8))}]
    manifest = Manifest.from_rows(rows, tmp_path)
    values, faults = measure_capture(manifest.row(0), manifest)
    (fault,) = faults
    assert fault.column == "ir"
    assert "aspect" in fault.message
    assert "ir_median" in values
    assert "ir_middle" not in values


def test_a_missing_modality_is_a_statistic(capture_rows: Rows, tmp_path: Path) -> None:
    rows = [row | ({"depth": ""} if i % 2 else {}) for i, row in enumerate(capture_rows(4))]
    measured = measure_manifest(Manifest.from_rows(rows, tmp_path))
    assert measured.values["depth_present"].tolist() == [1, 0, 1, 0]
    assert np.isnan(measured.values["depth_bytes"][[1, 3]]).all()
    assert all(f"{m.value}_present" in measured.values for m in MODALITIES)


def test_alphabetical_places_and_lengths_of_clips(capture_rows: Rows, tmp_path: Path) -> None:
    names = [("b", "p2", "zoe"), ("a", "p2", "zoe"), ("c", "p1", "")]
    rows = [
        row | {"capture_id": c, "presentation_id": p, "subject": s, "label": ""}
        for row, (c, p, s) in zip(capture_rows(3), names, strict=True)
    ]
    values = measure_manifest(Manifest.from_rows(rows, tmp_path)).values
    assert values["capture_order"].tolist() == [1, 0, 2]
    assert values["captures_per_presentation"].tolist() == [2, 2, 1]
    assert values["position"].tolist() == [0, 1, 2]
    assert np.isnan(values["subject_order"][2])
    assert np.isnan(values["session_order"]).all()
