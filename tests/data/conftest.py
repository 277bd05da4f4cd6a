"""Small image files and manifests for the data tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

WriteImage = Callable[..., str]


@pytest.fixture
def png(tmp_path: Path) -> WriteImage:
    """``png(name, array)`` writes an array as an image file under tmp_path and returns its name."""

    def write(name: str, image: NDArray[Any]) -> str:
        stored = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
        assert cv2.imwrite(str(tmp_path / name), stored)
        return name

    return write


@pytest.fixture
def capture_rows(png: WriteImage) -> Callable[[int], list[dict[str, object]]]:
    """``capture_rows(n)``: rows of n small captures with all three images on disk, crops marked as such."""

    def make(count: int) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = []
        for i in range(count):
            rng = np.random.default_rng(i)
            colour = rng.integers(30, 220, (48, 48, 3), dtype=np.uint8)
            depth = rng.integers(480, 560, (48, 48)).astype(np.uint16)
            depth[rng.random((48, 48)) < 0.05] = 0
            rows.append(
                {
                    "rgb": png(f"{i}_rgb.png", colour),
                    "depth": png(f"{i}_depth.png", depth),
                    "ir": png(f"{i}_ir.png", (colour[..., 0].astype(np.uint16) * 40)),
                    "label": "attack" if i % 2 else "bona_fide",
                    "subject": f"s{i // 2}",
                    "box": "full",
                }
            )
        return rows

    return make
