"""Fixtures for every test folder."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of optional real data (photographs, scans); the test is skipped where it is absent."""
    root = Path(os.environ.get("MFAS_SHARED", Path(__file__).resolve().parents[1].parent / "shared"))
    folder = root / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set MFAS_SHARED")
    return folder
