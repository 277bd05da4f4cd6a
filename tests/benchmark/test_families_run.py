"""`mfas families` and `mfas train` with heads: files, figures, scores that stay, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from commands import mfas, refusal
from mfas._files import read_json
from mfas.card import FAMILIES_FILE, Card
from mfas.export.predictor import OnnxPredictor
from mfas.models.store import save_model
from toys import card, tiny_model

SMALL = ("--set", "families.fewest=3", "--set", "families.epochs=4", "--set", "families.passes=1", "--set", "threads=1")


@pytest.fixture(scope="module")
def with_graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with its graph beside the weights; not to be changed."""
    pytest.importorskip("onnxscript")
    from mfas.export.onnx_file import export_onnx

    out, model = tmp_path_factory.mktemp("both"), tiny_model()
    export_onnx(model, save_model(model, card(), out), out)
    return out


@pytest.fixture(scope="module")
def made(lesson: Path, with_graph: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("heads") / "model"
    argv = ("families", "--model", with_graph, "--manifest", lesson, "--out", out)
    return out, mfas(*argv, *SMALL, "--json").json()


def test_heads_are_put_beside_a_trained_model(made: tuple[Path, dict[str, Any]], with_graph: Path) -> None:
    out, result = made
    before, after = Card.read(with_graph), Card.read(out)
    assert after.families is not None
    assert [name.value for name in after.families.names] == result["families"]
    assert set(after.files) == {"model.safetensors", FAMILIES_FILE, "model.onnx"}
    assert after.files["model.safetensors"] == before.files["model.safetensors"]
    assert (after.thresholds, after.gate, after.seed) == (before.thresholds, before.gate, before.seed)
    assert after.families.training["captures"] == result["captures"]["train"]
    assert result["families"] == ["print"]
    assert set(result["validation"]["auc"]) == {"print"}
    assert read_json(out / "config.json", "configuration")["verb"] == "families"


def test_the_graph_and_the_weights_tell_the_same_risk(
    made: tuple[Path, dict[str, Any]], lesson: Path, tmp_path: Path
) -> None:
    out, _ = made
    argv = [f"--{m}={lesson.parent / f'1_{m}.png'}" for m in ("rgb", "ir")] + ["--box", "full", "--json"]
    graph = mfas("predict", "--model", out, *argv).json()["record"]["risk"]
    for name in ("model.safetensors", FAMILIES_FILE):
        (tmp_path / name).write_bytes((out / name).read_bytes())
    written = Card.read(out)
    written.model_copy(update={"files": {n: d for n, d in written.files.items() if n != "model.onnx"}}).write(tmp_path)
    weights = mfas("predict", "--model", tmp_path, *argv).json()["record"]["risk"]
    assert list(graph["families"]) == ["print", "unknown"]
    assert graph["families"] == pytest.approx(weights["families"], abs=1e-4)


def test_an_export_takes_the_heads_along(made: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    out, _ = made
    result = mfas("export", "--model", out, "--out", tmp_path / "device", "--json").json()
    assert result["files"] == ["model.onnx"]
    predictor = OnnxPredictor(tmp_path / "device")
    assert predictor.card.families == Card.read(out).families
    assert predictor._extras == ("residuals", "families")


def test_training_with_heads_after_the_model_leaves_its_weights_as_without(lesson: Path, tmp_path: Path) -> None:
    argv = ("train", "--manifest", lesson, "--json", "--set", "preprocess.size=32", "--set", "loop.epochs=1")
    argv = (*argv, "--set", "architecture.backbone_options.width=16", *SMALL)
    results = {}
    for way in ("none", "post_hoc", "naive", "random_head", "projection"):
        results[way] = mfas(*argv, "--out", tmp_path / way, "--set", f"families.way={way}").json()
    digests = {way: Card.read(tmp_path / way).files["model.safetensors"] for way in results}
    assert digests["post_hoc"] == digests["none"]
    assert len({digests[way] for way in ("none", "naive")}) == 2
    assert "families" not in results["none"]
    for way in ("post_hoc", "naive", "random_head", "projection"):
        told = Card.read(tmp_path / way).families
        assert told is not None
        assert (told.way, [name.value for name in told.names]) == (way, ["print"])
        assert (tmp_path / way / FAMILIES_FILE).is_file()
    assert Card.read(tmp_path / "none").bands == {}


def test_a_band_is_chosen_on_source_validation_where_it_is_asked_for(lesson: Path, tmp_path: Path) -> None:
    argv = ("train", "--manifest", lesson, "--json", "--set", "preprocess.size=32", "--set", "loop.epochs=1")
    argv = (*argv, "--set", "architecture.backbone_options.width=16", "--set", "threads=1")
    mfas(*argv, "--out", tmp_path / "m", "--set", "step_up=0.1").json()
    made = Card.read(tmp_path / "m")
    assert set(made.bands) == set(made.thresholds)
    for missing, (low, high) in made.bands.items():
        assert low <= made.thresholds[missing] <= high


def test_what_is_refused(lesson: Path, with_graph: Path, tmp_path: Path) -> None:
    argv = ("families", "--manifest", lesson, "--model", with_graph)
    assert "that is not the model's" in refusal(*argv, "--out", with_graph)
    assert "at most" in refusal(*argv, "--out", tmp_path / "a", "--set", "families.fewest=1000")
    assert "unknown key 'families.way'" in refusal(*argv, "--out", tmp_path / "a", "--set", "families.way=naive")
    wrong = refusal("train", "--manifest", lesson, "--out", tmp_path / "b", "--set", "families.way=later")
    assert "families.way" in wrong
