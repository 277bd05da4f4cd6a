"""One bench for all tests of this folder; who writes into it works on a copy."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benches import configuration, run
from mfas.adaptation import registry


@pytest.fixture(scope="session")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return configuration(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="session")
def finished(given: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Never to be written to."""
    summary = run(given, tmp_path_factory.mktemp("config"))
    assert (summary["cells"], summary["computed"], summary["failed"]) == (24, 24, 0)
    return Path(given["out"])


@pytest.fixture
def bench(finished: Path, given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished bench, which ``given`` then writes to."""
    shutil.copytree(finished, tmp_path / "own")
    monkeypatch.setitem(given, "out", str(tmp_path / "own"))
    return tmp_path / "own"


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Plug-ins of a test are forgotten after it."""
    registry.names()
    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("mfas_plugin_"):
            del sys.modules[name]
