"""Answers without --model: from the weights in the package, with the notice of what they were trained on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mfas.weights
from commands import mfas as run
from commands import refusal
from mfas import load_default
from mfas.card import Card
from mfas.core import Family


@pytest.fixture
def stand_in(model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small model in the place of the package's weights."""
    folder = tmp_path / "default"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes((model_dir / "model.safetensors").read_bytes())
    Card.read(model_dir).model_copy(update={"notice": "trained on simulated captures only"}).write(folder)
    monkeypatch.setattr(mfas.weights, "FOLDER", folder)
    return folder


def test_an_answer_of_the_default_weights_says_what_they_learnt_from(stand_in: Path, site: Path) -> None:
    picture = next((site / "rgb").iterdir())
    argv = ("predict", "--rgb", picture, "--box", "full")
    assert run(*argv, "--json").json()["notice"] == "trained on simulated captures only"
    assert "notice: trained on simulated captures only" in run(*argv).out
    assert load_default()[1].notice


def test_a_capture_without_an_answer_carries_the_notice_too(stand_in: Path, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (320, 240), (90, 120, 90)).save(tmp_path / "wall.jpg")
    result = run("predict", "--rgb", tmp_path / "wall.jpg", "--json").json()
    assert result["outcome"] == "non_response"
    assert "notice" in result


def test_a_model_of_ones_own_has_no_notice(model_dir: Path, site: Path) -> None:
    picture = next((site / "rgb").iterdir())
    assert "notice" not in run("predict", "--model", model_dir, "--rgb", picture, "--box", "full", "--json").json()


def test_default_weights_adapt_with_their_notice(stand_in: Path, site: Path, tmp_path: Path) -> None:
    argv = ("adapt", "--manifest", site / "manifest.parquet", "--method", "source", "--out", tmp_path / "a", "--json")
    assert run(*argv).json()["notice"] == "trained on simulated captures only"
    assert run(*argv, "--resume").json()["notice"] == "trained on simulated captures only"


def test_a_package_without_weights_asks_for_a_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mfas.weights, "FOLDER", tmp_path)
    assert "--model" in refusal("predict", "--rgb", "a.png")
    assert "--model" in refusal("adapt", "--manifest", "m.csv", "--out", tmp_path / "a")


def test_the_package_holds_small_weights_that_match_their_card() -> None:
    card = Card.read(mfas.weights.FOLDER)
    assert set(card.files) == {"model.safetensors", "families.safetensors", "model.onnx"}
    assert sum((mfas.weights.FOLDER / name).stat().st_size for name in card.files) < 10_000_000
    assert "simulated captures only" in card.notice
    assert len(card.thresholds) == 7
    assert "/" not in json.dumps(card.training)


def test_the_package_tells_what_kind_of_attack_it_would_be(tmp_path: Path) -> None:
    import cv2
    import numpy as np

    cv2.imwrite(str(tmp_path / "ir.png"), np.random.default_rng(0).integers(40, 90, (80, 80)).astype(np.uint8))
    record = run("predict", "--ir", tmp_path / "ir.png", "--box", "full", "--json").json()["record"]
    assert list(record["risk"]["families"]) == [family.value for family in Family]
    assert record["risk_reason"] is None
    assert record["policy"]["band"] is None


@pytest.mark.parametrize("name", ["T1", "F1", "F2"])
def test_a_photograph_gets_an_answer_from_colour_alone(name: str, shared_data: Path) -> None:
    result = run("predict", "--rgb", shared_data / "photos" / f"image_{name}.jpg", "--json").json()
    assert result["outcome"] == "scored"
    assert result["substituted"] == ["depth", "ir"]
    assert result["missing"] == "depth,ir"
    assert "simulated captures only" in result["notice"]


def test_the_two_files_of_the_package_give_one_score(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mfas.benchmark import prediction_run

    argv = ("predict", "--rgb", shared_data / "photos" / "image_T1.jpg", "--json")
    with_torch = run(*argv).json()
    graph = prediction_run._onnx_model
    monkeypatch.setattr(prediction_run, "_model", lambda directory, _delta: graph(directory))
    assert run(*argv).json()["score"] == pytest.approx(with_torch["score"], abs=1e-4)
