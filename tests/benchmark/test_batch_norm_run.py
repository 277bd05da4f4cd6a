"""A source model with BatchNorm from the commands: trained with modalities missing, exported, adapted."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import mfas, refusal
from mfas.models.store import load_model


@pytest.fixture(scope="module")
def batch_norm_dir(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("batch_norm")
    small = ("preprocess.size=32", "loop.epochs=1", "threads=1", "architecture.backbone_options.norm=batch")
    given = [part for pair in small for part in ("--set", pair)]
    mfas(
        "train", "--manifest", site / "manifest.parquet", "--model", "late_fusion", "--out", out, *given, "--json"
    ).json()
    return out


def test_it_is_trained_and_exported(batch_norm_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    model, card = load_model(batch_norm_dir)
    state = model.state_dict()
    assert card.architecture["backbone_options"]["norm"] == "batch"
    assert all(float(v.abs().max()) > 0 for k, v in state.items() if k.endswith("running_mean"))
    done = mfas("export", "--model", batch_norm_dir, "--out", tmp_path / "onnx", "--json").json()
    assert done["largest_difference"] < done["tolerance"]


@pytest.mark.parametrize(("method", "updates"), [("tent", True), ("bn_stats", False)])
def test_methods_say_that_they_use_batch_statistics(
    method: str, updates: bool, batch_norm_dir: Path, site: Path, tmp_path: Path
) -> None:
    given = ("--manifest", site / "manifest.parquet", "--method", method, "--out", tmp_path, "--set", "threads=1")
    done = mfas("adapt", "--model", batch_norm_dir, *given, "--missing", "ir", "--json").json()
    assert done["batch_independent"] is False
    assert (done["updates"] > 0) == updates


def test_bn_stats_without_batch_norm_is_refused(model_dir: Path, site: Path, tmp_path: Path) -> None:
    given = ("--manifest", site / "manifest.parquet", "--method", "bn_stats", "--out", tmp_path)
    assert "expected a model with BatchNorm" in refusal("adapt", "--model", model_dir, *given)
