"""The crop: golden squares at the border, and properties that hold anywhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfas.data.box import FULL, Box, parse_box
from mfas.data.crops import Region, crop_square, register, square_region
from mfas.errors import ImageError, InputError


@pytest.mark.parametrize(
    ("box", "scale", "expected"),
    [
        (Box(40, 30, 20, 20), 1.0, Region(40, 30, 20)),
        (Box(40, 30, 20, 10), 1.5, Region(35, 20, 30)),
        (Box(0, 0, 20, 20), 2.0, Region(0, 0, 40)),
        (Box(90, 70, 10, 10), 2.0, Region(80, 60, 20)),
        (Box(-10, 30, 20, 20), 1.0, Region(0, 30, 20)),
        (Box(10, 10, 80, 60), 1.3, Region(10, 0, 80)),
        (Box(0, 0, 300, 300), 1.0, Region(20, 0, 80)),
        (None, 1.3, Region(10, 0, 80)),
    ],
)  # fmt: skip
def test_golden_squares_in_100_by_80(box: Box | None, scale: float, expected: Region) -> None:
    assert square_region(box, 80, 100, scale) == expected


def test_golden_pixels_at_the_border() -> None:
    image = np.arange(36, dtype=np.uint8).reshape(6, 6)
    assert crop_square(image, Box(-1, -1, 2, 2), 1.0, None).tolist() == [[0, 1], [6, 7]]
    assert crop_square(image, Box(5, 5, 2, 2), 1.0, None).tolist() == [[28, 29], [34, 35]]
    assert crop_square(image, Box(2, 2, 2, 2), 2.0, 2, nearest=True).tolist() == [[14, 16], [26, 28]]
    averaged = crop_square(image.astype(np.float32), Box(2, 2, 2, 2), 2.0, 2)
    assert averaged.tolist() == [[10.5, 12.5], [22.5, 24.5]]


@settings(max_examples=200, deadline=None, database=None)
@given(
    st.integers(1, 60), st.integers(1, 60), st.floats(-50, 90), st.floats(-50, 90), st.floats(0.5, 200),
    st.floats(0.5, 200), st.floats(0.5, 4),
)  # fmt: skip
def test_the_square_is_always_inside_and_as_large_as_asked(
    height: int, width: int, x: float, y: float, w: float, h: float, scale: float
) -> None:
    region = square_region(Box(x, y, w, h), height, width, scale)
    assert 0 <= region.x <= width - region.side
    assert 0 <= region.y <= height - region.side
    assert abs(region.side - np.clip(scale * max(w, h), 1, min(height, width))) <= 0.5


@settings(max_examples=50, deadline=None, database=None)
@given(st.integers(8, 40), st.integers(8, 40), st.floats(0, 30), st.floats(0, 30), st.integers(4, 20))
def test_a_crop_is_never_squeezed(height: int, width: int, x: float, y: float, size: int) -> None:
    """Steps of a ramp are equal in both directions, wherever the box is."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    side = square_region(Box(x, y, 10, 7), height, width, 1.3).side
    down = np.diff(crop_square(rows, Box(x, y, 10, 7), 1.3, size)[:, 0])[1:-1]
    across = np.diff(crop_square(columns, Box(x, y, 10, 7), 1.3, size)[0])[1:-1]
    assert np.allclose(down, across, atol=1e-3)
    assert np.allclose(down.mean() if len(down) else side / size, side / size, atol=0.35)


def test_nearest_makes_no_new_values() -> None:
    depth = np.where(np.random.default_rng(0).random((33, 33)) < 0.5, np.nan, 0.5).astype(np.float32)
    out = crop_square(depth, Box(5, 5, 20, 20), 1.0, 13, nearest=True)
    assert set(np.unique(out[~np.isnan(out)])) == {np.float32(0.5)}
    assert 0 < np.isnan(out).sum() < out.size


def test_a_box_follows_to_another_resolution() -> None:
    box = Box(10, 20, 30, 40)
    assert register(box, (480, 640), (480, 640)) == box
    assert register(box, (480, 640), (240, 320)) == Box(5, 10, 15, 20)
    assert register(None, (0, 0), (240, 320)) is None
    with pytest.raises(ImageError, match=r"depth: expected the aspect .*\(640 x 480\), got 640 x 240"):
        register(box, (480, 640), (240, 640), "depth")


def test_box_text() -> None:
    assert parse_box(" 1, 2.5,3,4 ") == Box(1, 2.5, 3, 4)
    assert parse_box(str(Box(1, 2.5, 3, 4))) == Box(1, 2.5, 3, 4)
    assert parse_box(FULL) == FULL
    assert parse_box(" ") is None
    for text in ("1,2,3", "a,b,c,d", "1,2,3,4,5", "1,2,0,4", "1,2,nan,4", "1,2,inf,4"):
        with pytest.raises(InputError, match="expected a box"):
            parse_box(text)
