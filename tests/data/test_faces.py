"""Finding faces on real photographs, and not finding any where there are none."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data as photos

from mfas.data import faces
from mfas.data.box import Box
from mfas.data.faces import find_face
from mfas.data.images import read_rgb
from mfas.errors import InputError

ASTRONAUT = Box(178, 58, 92, 116)


def overlap(a: Box, b: Box) -> float:
    wide = min(a.x + a.w, b.x + b.w) - max(a.x, b.x)
    high = min(a.y + a.h, b.y + b.h) - max(a.y, b.y)
    shared = max(wide, 0) * max(high, 0)
    return shared / (a.area + b.area - shared)


def test_a_photograph_in_colour_in_infrared_style_and_mirrored() -> None:
    image = photos.astronaut()
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    for version in (image, grey, grey.astype(np.uint16) * 20):
        found = find_face(version)
        assert found is not None
        assert overlap(found, ASTRONAUT) > 0.75
    mirrored = find_face(np.ascontiguousarray(image[:, ::-1]))
    assert mirrored is not None
    assert overlap(Box(512 - mirrored.x - mirrored.w, mirrored.y, mirrored.w, mirrored.h), ASTRONAUT) > 0.75


@pytest.mark.parametrize("size", [(640, 480), (4000, 3000)])
def test_the_work_of_a_search_does_not_grow_with_the_picture(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seconds are measured by `benchmarks/performance.py`; here the pixels that the cascade is shown are counted."""
    scan, shown = faces._scan, []

    def counting(image: np.ndarray, smallest: int) -> list[faces._Window]:
        shown.append(image.shape[:2])
        return scan(image, smallest)

    monkeypatch.setattr(faces, "_scan", counting)
    find_face(cv2.resize(photos.astronaut(), size))
    assert len(shown) == 6
    assert max(max(shape) for shape in shown) <= 427
    assert sum(height * width for height, width in shown) < 520_000


@pytest.mark.parametrize("name", ["coffee", "rocket", "page", "brick"])
def test_no_face_in_other_pictures(name: str) -> None:
    assert find_face(getattr(photos, name)()) is None


def test_no_face_in_noise_darkness_or_a_tiny_image() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    for image in (noise, np.zeros((240, 320), np.uint16), np.zeros((1, 1, 3), np.uint8), np.zeros((5, 900), np.uint8)):
        assert find_face(image) is None


@pytest.mark.parametrize(
    ("name", "face"),
    [("T1", Box(145, 150, 160, 205)), ("F1", Box(176, 105, 200, 255)), ("F2", Box(122, 208, 230, 290))],
)
def test_real_photographs(shared_data: Path, name: str, face: Box) -> None:
    found = find_face(read_rgb(shared_data / "photos" / f"image_{name}.jpg"))
    assert found is not None
    assert overlap(found, face) > 0.7


def test_a_yunet_file_that_is_missing_or_something_else(tmp_path: Path) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(InputError, match="YuNet file not found"):
        find_face(image, tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("not a network")
    with pytest.raises(InputError, match="expected a YuNet face detector"):
        find_face(image, tmp_path / "text.onnx")
