from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ict_model import Arrays, model
from mfas.simulation import load_site, simulate

SITES = ("office", "kiosk", "phone", "gate")


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One manifest per built-in site, a capture per presentation."""
    root = tmp_path_factory.mktemp("sites")
    return {
        name: simulate(load_site(name), count=96, seed=11, out=root / name, captures_per_presentation=1)
        for name in SITES
    }


@pytest.fixture(scope="session")
def arrays() -> Arrays:
    return model()


@pytest.fixture(scope="session")
def made_up(arrays: Arrays, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up model as an array file."""
    path = tmp_path_factory.mktemp("ict") / "ict_facekit.npz"
    np.savez_compressed(path, **arrays)
    return path
