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


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of sixty captures of a simulated site with their manifest; not to be changed."""
    pytest.importorskip("numba")
    from commands import mfas

    out = tmp_path_factory.mktemp("site")
    mfas("data", "simulate", "--site", "kiosk", "--count", 60, "--seed", 1, "--out", out, "--json").json()
    return out


@pytest.fixture(scope="session")
def model_dir(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small model trained for two epochs on `site`; not to be changed."""
    from commands import mfas

    out = tmp_path_factory.mktemp("model")
    small = ("--set", "preprocess.size=48", "--set", "loop.epochs=2", "--set", "threads=1")
    mfas("train", "--manifest", site / "manifest.parquet", "--out", out, *small, "--json").json()
    return out


@pytest.fixture(scope="session")
def exported(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`model_dir` exported by the command: folder of a graph and its card; not to be changed."""
    pytest.importorskip("onnxscript")
    from commands import mfas

    out = tmp_path_factory.mktemp("exported")
    result = mfas("export", "--model", model_dir, "--out", out, "--json").json()
    assert result["largest_difference"] < result["tolerance"]
    assert result["files"] == ["model.onnx"]
    return out


@pytest.fixture(scope="session")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Manifest of forty small captures that a network learns from in seconds; not to be changed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from planted import captures, dark

    root = tmp_path_factory.mktemp("lesson")
    pq.write_table(pa.Table.from_pylist(captures(root, 40, dark)), root / "manifest.parquet")
    return root / "manifest.parquet"
