"""The whole chain through the command line, on sixty captures and a small model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from commands import left_over, mfas
from mfas.card import Card
from mfas.core import MISSING_PATTERNS, MODALITIES
from mfas.data.manifest import Manifest, read_manifest, write_manifest
from mfas.data.scores import SCORE_COLUMNS, read_scores
from mfas.metrics.summary import METRIC_NAMES


def config_of(folder: Path) -> dict[str, object]:
    record = json.loads((folder / "config.json").read_text())
    assert set(record["environment"]) >= {"python", "numpy", "mfas"}
    return dict(record)


@pytest.fixture(scope="module")
def manifest(site: Path) -> Path:
    return site / "manifest.parquet"


@pytest.fixture(scope="module")
def adapted(model_dir: Path, manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("adapted")
    mfas("adapt", "--model", model_dir, "--manifest", manifest, "--out", out, "--json").json()
    return out


def test_simulate_writes_images_manifest_and_configuration(site: Path) -> None:
    listed = read_manifest(site / "manifest.parquet")
    assert len(listed) == 60
    assert {p.name for p in site.iterdir()} >= {"rgb", "depth", "ir", "contact_sheet.png", "config.json", "site.yaml"}
    assert all(listed.resolve(row.path(m)).is_file() for row in listed for m in MODALITIES)
    record = config_of(site)
    assert record["verb"] == "data simulate"
    assert record["config"]["count"] == 60
    assert record["site"]["name"] == "kiosk"


def test_check_counts_what_is_there(manifest: Path) -> None:
    result = mfas("data", "check", manifest, "--json").json()
    assert result["ok"]
    assert result["captures"] == 60
    assert result["counts"]["modality"] == {"rgb": 60, "depth": 60, "ir": 60}
    assert result["sizes"]["depth"] == {"112x112": 60}


def test_crop_writes_a_manifest_of_crops_that_passes_the_check(manifest: Path, tmp_path: Path) -> None:
    result = mfas("data", "crop", manifest, "--out", tmp_path, "--size", 64, "--json").json()
    assert result["captures"] == 60
    assert result["no_face"] == []
    assert set(read_manifest(tmp_path / "manifest.parquet").counts("box")) == {"full"}
    checked = mfas("data", "check", tmp_path / "manifest.parquet", "--json").json()
    assert checked["ok"]
    assert checked["sizes"]["rgb"] == {"64x64": 60}
    assert config_of(tmp_path)["config"]["size"] == 64
    assert left_over(tmp_path) == []


def test_train_writes_weights_card_and_configuration(model_dir: Path) -> None:
    card = Card.read(model_dir)
    assert set(card.files) == {"model.safetensors"}
    assert set(card.thresholds) == set(MISSING_PATTERNS)
    assert card.sources == ("kiosk",)
    assert card.preprocess.size == 48
    assert len(card.training["history"]) == 2
    record = config_of(model_dir)
    assert record["verb"] == "train"
    assert record["config"]["loop"]["epochs"] == 2


@pytest.mark.parametrize("method", ["source", "mfas_danet"])
def test_adapt_writes_scores_steps_and_state(method: str, model_dir: Path, manifest: Path, tmp_path: Path) -> None:
    argv = ("adapt", "--model", model_dir, "--manifest", manifest, "--method", method, "--missing", "ir,rgb")
    result = mfas(*argv, "--out", tmp_path, "--json").json()
    assert result["captures"] == 60
    assert result["steps"] == 6
    scores = read_scores(tmp_path / "scores.parquet")
    assert scores.table.column_names == list(SCORE_COLUMNS)
    arrival = read_manifest(manifest).in_arrival_order()
    assert scores.column("capture_id").tolist() == arrival.column("capture_id").tolist()
    assert set(scores.column("missing")) == {"rgb,ir"}
    assert set(scores.column("present")) == {"depth"}
    assert set(scores.column("method")) == {method}
    steps = [json.loads(line) for line in (tmp_path / "steps.jsonl").read_text().splitlines()]
    assert sum(step["seen"] for step in steps) == 60
    assert all((step["skipped_reason"] is None) == step["updated"] for step in steps)
    record = config_of(tmp_path)
    assert record["config"]["missing"] == "rgb,ir"
    assert {p.name for p in tmp_path.iterdir()} >= {"state.json", "delta.safetensors", "resume.safetensors"}
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("method", ["source", "mfas_danet"])
def test_csv_and_parquet_are_equal_citizens(method: str, model_dir: Path, site: Path, tmp_path: Path) -> None:
    write_manifest(read_manifest(site / "manifest.parquet"), tmp_path / "list.csv")
    bytes_of = []
    for name, path in (("parquet", site / "manifest.parquet"), ("csv", tmp_path / "list.csv")):
        argv = ("adapt", "--model", model_dir, "--manifest", path, "--method", method)
        assert mfas(*argv, "--out", tmp_path / name).code == 0
        bytes_of.append((tmp_path / name / "scores.parquet").read_bytes())
    assert bytes_of[0] == bytes_of[1]


@pytest.mark.parametrize("missing", MISSING_PATTERNS)
def test_predict_answers_for_every_subset(missing: str, model_dir: Path, manifest: Path) -> None:
    listed = read_manifest(manifest)
    row = listed.row(0)
    kept = [m for m in MODALITIES if m.value not in missing.split(",")]
    files = [part for m in kept for part in (f"--{m.value}", listed.resolve(row.path(m)))]
    result = mfas("predict", "--model", model_dir, *files, "--box", row.box, "--json").json()
    assert result["outcome"] == "scored"
    assert result["missing"] == missing
    assert result["present"] == ",".join(m.value for m in kept)
    assert set(result["modality_scores"]) == {m.value for m in kept}
    assert sorted(result["substituted"]) == sorted(part for part in missing.split(",") if part)
    assert result["threshold"] == Card.read(model_dir).thresholds[missing]
    assert result["decision"] == ("bona_fide" if result["score"] >= result["threshold"] else "attack")


def test_predict_and_adapt_give_one_capture_the_same_score(model_dir: Path, manifest: Path, tmp_path: Path) -> None:
    argv = ("adapt", "--model", model_dir, "--manifest", manifest, "--method", "source", "--out", tmp_path)
    assert mfas(*argv).code == 0
    listed = read_manifest(manifest).in_arrival_order()
    row, score = listed.row(7), read_scores(tmp_path / "scores.parquet").column("score")[7]
    files = [part for m in MODALITIES for part in (f"--{m.value}", listed.resolve(row.path(m)))]
    result = mfas("predict", "--model", model_dir, *files, "--box", row.box, "--json").json()
    assert result["score"] == pytest.approx(score, abs=1e-5)


def test_evaluate_own_scores(adapted: Path, tmp_path: Path) -> None:
    argv = ("evaluate", adapted / "scores.parquet", "--threshold", 0.5, "--out", tmp_path, "--set", "draws=200")
    result = mfas(*argv, "--json").json()
    (run,) = result["runs"]
    assert run["site"] == "kiosk"
    assert run["threshold"] == 0.5
    assert run["hter"] == pytest.approx((run["apcer"] + run["bpcer"]) / 2)
    assert set(METRIC_NAMES) <= set(run)
    assert json.loads((tmp_path / "evaluation.json").read_text()) == result
    assert "<html" in (tmp_path / run["page"]).read_text()[:200]
    shown = mfas(*argv)
    assert "hter" in shown.out
    assert " %" in shown.out


def test_evaluate_a_foreign_csv_with_a_development_set(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("test", "dev"):
        rows = ["label,species,score"]
        rows += [f"bona_fide,,{s:.6f}" for s in rng.beta(5, 2, 60)]
        rows += [f"attack,{kind},{s:.6f}" for kind in ("hologram", "print_flat") for s in rng.beta(2, 5, 40)]
        (tmp_path / f"{name}.csv").write_text("\n".join(rows) + "\n")
    argv = ("evaluate", tmp_path / "test.csv", "--dev", tmp_path / "dev.csv", "--set", "draws=200")
    (run,) = mfas(*argv, "--json").json()["runs"]
    assert set(run["apcer_by_species"]) == {"hologram", "print_flat"}
    assert run["n_subjects"] in (0, None)
    assert 0 < run["hter"] < 0.4
    assert (tmp_path / "test.evaluation" / "evaluation.json").is_file()


def test_output_for_people_is_lines(manifest: Path) -> None:
    answer = mfas("data", "check", manifest)
    assert answer.code == 0
    assert "captures: 60" in answer.out.splitlines()


def test_emptied_labels_change_no_score(model_dir: Path, site: Path, tmp_path: Path) -> None:
    listed = read_manifest(site / "manifest.parquet")
    rows = [{name: listed.column(name)[i] for name in listed.table.column_names} for i in range(len(listed))]
    for row in rows:
        row |= {"label": "", "species": "", **{m.value: str(site / row[m.value]) for m in MODALITIES}}
    write_manifest(Manifest.from_rows(rows, tmp_path), tmp_path / "unlabelled.parquet")
    scores = []
    for name, path in (("with", site / "manifest.parquet"), ("without", tmp_path / "unlabelled.parquet")):
        assert mfas("adapt", "--model", model_dir, "--manifest", path, "--out", tmp_path / name).code == 0
        scores.append(read_scores(tmp_path / name / "scores.parquet").column("score"))
    np.testing.assert_array_equal(*scores)


def test_a_folder_with_a_handwritten_list(site: Path, tmp_path: Path) -> None:
    """Somebody's own three-camera folder: paths and labels, nothing else; faces are looked for."""
    shutil.copytree(site, tmp_path / "own", ignore=shutil.ignore_patterns("manifest.*", "*.json", "*.yaml"))
    listed = read_manifest(site / "manifest.parquet")
    lines = ["rgb,depth,ir,label"] + [f"{r.rgb},{r.depth},{r.ir},{r.label.value}" for r in listed if r.label]
    own = tmp_path / "own" / "list.csv"
    own.write_text("\n".join(lines) + "\n")
    assert mfas("data", "check", own, "--json").json()["counts"]["species"] == {"": 30, "unknown": 30}
    small = ("--set", "preprocess.size=48", "--set", "loop.epochs=1", "--set", "threads=1")
    trained = mfas("train", "--manifest", own, "--out", tmp_path / "m", *small, "--json").json()
    assert trained["captures"]["train"] > 15
    argv = ("adapt", "--model", tmp_path / "m", "--manifest", own, "--method", "source", "--out", tmp_path / "a")
    adapted = mfas(*argv, "--json").json()
    assert adapted["captures"] == 60
    assert 0 < adapted["non_response"] < 30, "some of these small renderings show no face to the cascade"
    (run,) = mfas("evaluate", tmp_path / "a" / "scores.parquet", "--threshold", 0.5, "--json").json()["runs"]
    assert run["n_bona_fide"] + run["n_attack"] + adapted["non_response"] == 60
    assert run["auc"] is not None


def test_config_file_and_set_pairs_come_together(model_dir: Path, manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"model: {model_dir}\nmanifest: {manifest}\nmethod: source\nbatch_size: 7\n")
    argv = ("adapt", "--config", tmp_path / "a.yaml", "--out", tmp_path / "o", "--set", "batch_size=30", "--json")
    assert mfas(*argv).json()["steps"] == 2
    assert config_of(tmp_path / "o")["config"]["batch_size"] == 30
