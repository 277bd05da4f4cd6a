"""Photographs and a scanned head through the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from commands import mfas, refusal
from mfas.data.manifest import read_manifest
from mfas.data.scores import read_scores


def check_photo(path: Path, model_dir: Path) -> None:
    result = mfas("predict", "--model", model_dir, "--rgb", path, "--json").json()
    assert result["outcome"] == "scored"
    assert result["missing"] == "depth,ir"
    assert result["substituted"] == ["depth", "ir"]
    assert 0 <= result["score"] <= 1
    x, y, w, h = (float(part) for part in result["box"].split(","))
    width, height = Image.open(path).size
    assert 0.05 * min(width, height) < w < width
    assert 0 < x + w / 2 < width
    assert 0 < y + h / 2 < height


@pytest.mark.parametrize("name", ["T1", "F1", "F2"])
def test_a_photograph_is_found_cropped_and_scored(name: str, shared_data: Path, model_dir: Path) -> None:
    check_photo(shared_data / "photos" / f"image_{name}.jpg", model_dir)


def test_the_astronaut_is_found_cropped_and_scored(model_dir: Path, tmp_path: Path) -> None:
    data = pytest.importorskip("skimage.data")
    try:
        picture = data.astronaut()
    except (OSError, ModuleNotFoundError):  # not in this wheel, and no way to fetch it
        pytest.skip("scikit-image brings no astronaut here")
    Image.fromarray(picture).save(tmp_path / "astronaut.png")
    check_photo(tmp_path / "astronaut.png", model_dir)


def test_no_face_is_a_non_response(model_dir: Path, tmp_path: Path) -> None:
    Image.new("RGB", (320, 240), (90, 120, 90)).save(tmp_path / "wall.jpg")
    result = mfas("predict", "--model", model_dir, "--rgb", tmp_path / "wall.jpg", "--json").json()
    assert result["outcome"] == "non_response"
    assert result["score"] is None
    assert "decision" not in result
    assert "no face" in result["reason"]


def test_a_scanned_head_is_a_live_subject_of_the_chain(shared_data: Path, model_dir: Path, tmp_path: Path) -> None:
    head = shared_data / "head_scan" / "LeePerrySmith.glb"
    argv = ("data", "simulate", "--site", "office", "--count", 12, "--head-model", head, "--out", tmp_path / "s")
    result = mfas(*argv, "--json").json()
    assert result["label"] == {"bona_fide": 12}
    assert result["subjects"] == 1
    listed = read_manifest(tmp_path / "s" / "manifest.parquet")
    assert listed.modality_counts() == {"rgb": 12, "depth": 12, "ir": 12}
    argv = ("adapt", "--model", model_dir, "--manifest", tmp_path / "s" / "manifest.parquet", "--method", "source")
    assert mfas(*argv, "--out", tmp_path / "a", "--json").json()["non_response"] == 0
    scores = read_scores(tmp_path / "a" / "scores.parquet")
    assert set(scores.column("label")) == {"bona_fide"}
    (run,) = mfas("evaluate", tmp_path / "a" / "scores.parquet", "--threshold", 0.5, "--json").json()["runs"]
    assert run["bpcer"] is not None
    assert run["auc"] is None


def test_a_wrong_head_model_is_refused(tmp_path: Path) -> None:
    argv = ("data", "simulate", "--site", "office", "--count", 3, "--out", tmp_path / "s", "--head-model")
    assert "found none" in refusal(*argv, tmp_path / "none.glb")
    (tmp_path / "head.glb").write_bytes(b"solid stl" * 10)
    assert "color.jpg" in refusal(*argv, tmp_path / "head.glb")
    Image.new("RGB", (8, 8)).save(tmp_path / "head.jpg")
    assert "glTF" in refusal(*argv, tmp_path / "head.glb")
    (tmp_path / "head.glb").write_bytes(b"glTF" + bytes(40))
    assert "damaged" in refusal(*argv, tmp_path / "head.glb")
