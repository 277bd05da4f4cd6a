"""`mfas explain` on the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from commands import left_over, mfas, refusal
from mfas.benchmark.source_means import store_source_mean
from mfas.card import Card
from mfas.core import MODALITIES
from mfas.data.manifest import Row, read_manifest
from mfas.explain.record import Attribution
from pages import parse

QUICK = ("--set", "explain.steps=4", "--set", "explain.draws=2", "--set", "explain.random_orders=2")


@pytest.fixture(scope="module")
def row(site: Path) -> Row:
    return read_manifest(site / "manifest.parquet").row(0)


def given(site: Path, row: Row, *modalities: str) -> list[object]:
    files = {"rgb": row.rgb, "depth": row.depth, "ir": row.ir}
    return [*(part for m in modalities for part in (f"--{m}", site / files[m])), "--box", row.box]


def test_a_capture_is_explained(model_dir: Path, site: Path, row: Row, tmp_path: Path) -> None:
    argv = ("explain", "--model", model_dir, *given(site, row, "rgb", "depth", "ir"), *QUICK)
    result = mfas(*argv, "--out", tmp_path, "--json").json()
    decided = mfas("predict", "--model", model_dir, *given(site, row, "rgb", "depth", "ir"), "--json").json()
    assert all(result[key] == value for key, value in decided.items() if key != "score")
    assert result["score"] == pytest.approx(decided["score"], abs=1e-6)
    record = Attribution.from_dict(result["explanation"])
    assert record.synergy.gap < 1e-5
    assert record.absent == "complements"
    assert (record.empty.kind, record.empty.sources) == ("source_mean", ("kiosk",))
    kept = json.loads((tmp_path / "explanation.json").read_text())
    assert kept["explanation"] == result["explanation"]
    assert {m: len(cells) for m, cells in kept["maps"].items()} == {"rgb": 12, "depth": 12, "ir": 12}
    assert kept["environment"]["torch"]
    assert json.loads((tmp_path / "config.json").read_text())["config"]["explain"]["steps"] == 4
    page = parse((tmp_path / "explanation.html").read_text())
    assert not page.faults
    assert len(page.references) == 6
    assert all(reference.startswith("data:image/jpeg") for reference in page.references)
    assert not left_over(tmp_path)
    again = mfas(*argv, "--out", tmp_path / "again", "--json").json()
    assert again["explanation"] == result["explanation"]


def test_one_sensor_is_explained_too(model_dir: Path, site: Path, row: Row, tmp_path: Path) -> None:
    argv = ("explain", "--model", model_dir, *given(site, row, "ir"), *QUICK, "--out", tmp_path)
    assert "influence: {}" in mfas(*argv).out
    record = Attribution.from_dict(mfas(*argv, "--json").json()["explanation"])
    assert [m.value for m in record.present] == ["ir"]
    assert "Together" not in (tmp_path / "explanation.html").read_text()


def test_no_face_is_a_non_response_without_a_page(model_dir: Path, tmp_path: Path) -> None:
    Image.new("RGB", (320, 240), (90, 120, 90)).save(tmp_path / "wall.jpg")
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "explanation.html").write_text("another capture's")
    argv = ("explain", "--model", model_dir, "--rgb", tmp_path / "wall.jpg", "--out", tmp_path / "o", "--json")
    result = mfas(*argv).json()
    assert result["outcome"] == "non_response"
    assert "explanation" not in result
    assert {path.name for path in (tmp_path / "o").iterdir()} == {"explanation.json", "config.json"}


def test_a_card_without_a_source_mean_is_told_and_can_be_given_one(
    model_dir: Path, site: Path, row: Row, tmp_path: Path
) -> None:
    older = tmp_path / "older"
    shutil.copytree(model_dir, older)
    Card.read(model_dir).model_copy(update={"source_mean": None}).write(older)
    argv = ("explain", "--model", older, *given(site, row, "depth", "ir"), *QUICK, "--out", tmp_path / "o", "--json")
    assert mfas(*argv).json()["explanation"]["empty"]["kind"] == "zero_maps"
    assert "the origin is arbitrary" in (tmp_path / "o" / "explanation.html").read_text()
    manifest = site / "manifest.parquet"
    named = mfas(*argv, "--baseline", manifest).json()["explanation"]["empty"]
    assert (named["kind"], named["captures"], named["sources"]) == ("source_mean", 60, ["kiosk"])
    card = store_source_mean(older, manifest)
    assert card.source_mean is not None
    assert mfas(*argv).json()["explanation"]["empty"] == named


def test_bad_input_is_one_sentence(model_dir: Path, site: Path, row: Row, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "o")
    assert "at least one of rgb, depth, ir" in refusal("explain", "--model", model_dir, *out)
    assert "'out'" in refusal("explain", "--model", model_dir, *given(site, row, "rgb"))
    assert "--thermal" in refusal("explain", "--thermal", "a.png", *out)
    assert "unknown key 'explain.colour'" in refusal("explain", "--rgb", "a.png", *out, "--set", "explain.colour=red")
    assert "'explain.saliency'" in refusal("explain", "--rgb", "a.png", *out, "--set", "explain.saliency=magic")
    assert "not found" in refusal("explain", "--model", model_dir, "--rgb", tmp_path / "none.png", *out)
    assert "none.parquet" in refusal(
        "explain", "--model", model_dir, *given(site, row, "ir"), *out, "--baseline", tmp_path / "none.parquet"
    )
    (tmp_path / "file").write_text("")
    argv = ("explain", "--model", model_dir, *given(site, row, "ir"), "--out", tmp_path / "file")
    assert "got a file" in refusal(*argv)


def test_a_graph_alone_has_no_gradients(model_dir: Path, site: Path, row: Row, tmp_path: Path) -> None:
    Card.read(model_dir).model_copy(update={"files": {}}).write(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"graph")
    sentence = refusal("explain", "--model", tmp_path, *given(site, row, "ir"), "--out", tmp_path / "o")
    assert "gives no gradients" in sentence


def test_a_modality_the_model_never_saw_is_refused(model_dir: Path, site: Path, row: Row, tmp_path: Path) -> None:
    fewer = tmp_path / "fewer"
    shutil.copytree(model_dir, fewer)
    Card.read(model_dir).model_copy(update={"modalities": MODALITIES[:2]}).write(fewer)
    sentence = refusal("explain", "--model", fewer, *given(site, row, "ir"), "--out", tmp_path / "o")
    assert "expected an image the model was trained on (rgb,depth), got none" in sentence
