"""Captures that a network learns from in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from planted import Row, captures


def _lesson(row: Row, images: dict[str, np.ndarray], attack: bool) -> None:
    """Attacks are darker; every third capture has no depth, and every fourth is for validation."""
    images["rgb"] //= 1 + attack
    number = int(str(row["subject"])[1:])
    row["split"] = "validation" if number in (0, 3) else "train"
    if int(str(row["capture_id"]), 16) % 3 == 0:
        row["depth"] = ""


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Manifest of forty small captures; not to be changed."""
    root = tmp_path_factory.mktemp("lesson")
    pq.write_table(pa.Table.from_pylist(captures(root, 40, _lesson)), root / "manifest.parquet")
    return root / "manifest.parquet"
