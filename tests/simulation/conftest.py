from __future__ import annotations

from pathlib import Path

import pytest

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
