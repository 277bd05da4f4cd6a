"""`mfas report` of real runs, and pseudo labels held against the truth."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import mfas, refusal
from mfas.benchmark.pseudo_labels import judge_pseudo_labels
from mfas.card import Card
from mfas.data.manifest import Manifest, read_manifest, write_manifest
from mfas.errors import ScoreError


def run(model: Path, manifest: Path, out: Path, *more: object) -> Path:
    mfas("adapt", "--model", model, "--manifest", manifest, "--out", out, "--set", "threads=1", *more, "--json").json()
    return out


@pytest.fixture(scope="module")
def runs(model_dir: Path, site: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("runs")
    listed = site / "manifest.parquet"
    return run(model_dir, listed, root / "adapted"), run(model_dir, listed, root / "source", "--method", "source")


def test_training_measures_the_gate(site: Path, tmp_path: Path) -> None:
    # two epochs teach nothing about faces, so limits from source validation would have nothing to stand on
    small = (
        "--set",
        "preprocess.size=48",
        "--set",
        "loop.epochs=2",
        "--set",
        "threads=1",
        "--set",
        "gate.limits=fixed",
    )
    mfas("train", "--manifest", site / "manifest.parquet", "--out", tmp_path, *small, "--json").json()
    card = Card.read(tmp_path)
    assert card.evidence is not None
    assert set(card.evidence.quantiles) <= {"entropy", "vote", "dissent"}
    assert set(card.evidence.curves) <= {"", "rgb", "depth", "ir"}
    assert card.evidence.gate["estimator"] == {"kind": "entropy"}


def test_page_of_a_run_beside_its_source(runs: tuple[Path, Path], tmp_path: Path) -> None:
    adapted, source = runs
    told = mfas("report", adapted, "--source", source, "--out", tmp_path / "page.html", "--json").json()
    assert told["notes"] == []
    assert told["captures"] == 60
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "HTER over captures, source" in page
    assert str(adapted.parent) not in page, "no path of this machine"
    again = mfas("report", adapted, "--source", source, "--out", tmp_path / "page.html")
    assert again.code == 0
    assert (tmp_path / "page.html").read_text("utf-8") == page


def test_a_run_of_the_default_weights_is_shown_with_its_threshold(site: Path, tmp_path: Path) -> None:
    few = tmp_path / "few.parquet"
    manifest = read_manifest(site / "manifest.parquet")
    write_manifest(Manifest(manifest.take(np.arange(12)).table, site), few)
    out = tmp_path / "run"
    mfas("adapt", "--manifest", few, "--method", "source", "--out", out, "--set", "threads=1", "--json").json()
    told = mfas("report", out, "--manifest", few, "--out", tmp_path / "page.html", "--json").json()
    assert not any("model directory" in note for note in told["notes"])


def test_what_is_not_known_is_said(runs: tuple[Path, Path], model_dir: Path, site: Path, tmp_path: Path) -> None:
    listed = read_manifest(site / "manifest.parquet")
    rows = [{name: listed.column(name)[i] for name in listed.table.column_names} for i in range(20)]
    for row in rows:
        row |= {m: str(site / row[m]) for m in ("rgb", "depth", "ir")} | {"label": "", "species": ""}
    write_manifest(Manifest.from_rows(rows, tmp_path), tmp_path / "bare.csv")
    bare = run(model_dir, tmp_path / "bare.csv", tmp_path / "bare")
    (note,) = mfas("report", bare, "--json").json()["notes"]
    assert "Not every capture has a label" in note
    assert (bare / "report.html").is_file()
    (note,) = mfas("report", bare, "--manifest", site / "manifest.parquet", "--json").json()["notes"]
    assert "No run of the source model" in note
    moved = tmp_path / "moved"
    shutil.copytree(runs[0], moved)
    config = (moved / "config.json").read_text("utf-8").replace(str(model_dir), "gone")
    (moved / "config.json").write_text(config, "utf-8")
    (note,) = mfas("report", moved, "--json").json()["notes"]
    assert "--model says where" in note
    assert "--model" not in str(mfas("report", moved, "--model", model_dir, "--json").json()["notes"])


def test_folders_that_do_not_fit_are_refused(
    runs: tuple[Path, Path], model_dir: Path, site: Path, tmp_path: Path
) -> None:
    assert "expected a finished run of mfas adapt" in refusal("report", tmp_path)
    half = run(model_dir, site / "manifest.parquet", tmp_path / "half", "--set", "split=train", "--method", "source")
    assert "expected a score for every capture" in refusal("report", runs[0], "--source", half)
    other = run(model_dir, site / "manifest.parquet", tmp_path / "other", "--missing", "ir", "--method", "source")
    assert "expected a source run with missing ''" in refusal("report", runs[0], "--source", other)


def steps(*accepted: tuple[str, str, float | None]) -> list[dict[str, Any]]:
    ids, labels, claims = zip(*accepted, strict=True)
    return [{"seen": 10, "accepted_ids": list(ids), "pseudo_labels": list(labels), "reliabilities": list(claims)}]


def test_pseudo_labels_against_the_truth_by_hand() -> None:
    told = steps(("a", "attack", 0.9), ("b", "attack", 0.9), ("c", "bona_fide", None), ("d", "bona_fide", 0.99))
    found = judge_pseudo_labels(told, {"a": "attack", "b": "bona_fide", "c": "bona_fide", "d": "", "e": "attack"})
    assert (found["accepted"], found["unknown"], found["accepted_share"]) == (4, 1, 0.4)
    attack, live = found["by_class"]["attack"], found["by_class"]["bona_fide"]
    assert (attack["accepted"], attack["right"], attack["accuracy"]) == (2, 1, 0.5)
    assert [(b["low"], b["count"], b["claimed"], b["right"]) for b in attack["claims"]] == [(0.9, 2, 0.9, 0.5)]
    assert (live["accepted"], live["right"], live["claims"], live["without_claim"]) == (1, 1, [], 1)
    with pytest.raises(ScoreError, match="none for 'a'"):
        judge_pseudo_labels(told, {"b": "attack"})


def test_steps_of_before_there_were_claims_still_count() -> None:
    (old,) = steps(("a", "attack", None))
    del old["reliabilities"]
    assert judge_pseudo_labels([old], {"a": "attack"})["by_class"]["attack"]["without_claim"] == 1
