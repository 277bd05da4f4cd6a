"""The bench on two made-up sites: what is kept, what is tried again, what is refused, and that cells agree."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from benches import rows_of, run, scores_of
from commands import refusal
from mfas._files import read_json
from mfas.adaptation import registry
from mfas.adaptation.source import Source
from mfas.adaptation.ta3_fas import mean_of_heads
from mfas.benchmark.bench_captures import Captures
from mfas.benchmark.bench_cell import Workbench, run_cell
from mfas.benchmark.bench_cells import Cell, Grid
from mfas.benchmark.bench_checks import check
from mfas.benchmark.bench_config import BenchConfig
from mfas.card import Preprocess
from mfas.data.manifest import write_manifest
from mfas.data.scores import read_scores
from mfas.errors import ScoreError
from mfas.models.store import load_model
from planted import Row, captures


def test_every_cell_is_a_row_with_stream_and_probe(bench: Path) -> None:
    rows = rows_of(bench, status="ok")
    assert len(rows) == 24
    assert any(row["steps_taken"] for row in rows if row["method"] == "eager")
    for row in rows:
        assert row["sources"] == [{"a": "b", "b": "a"}[row["target"]]]
        assert row["probe_hter_before"] is not None
        assert row["probe_hter_worst"] >= row["probe_hter_after"]
        if row["method"] != "eager":
            assert (row["steps_taken"], row["probe_hter_after"]) == (0, row["probe_hter_before"])
        stream, probe = (
            set(read_scores(bench / "cells" / row["cell"] / name).column("subject"))
            for name in ("scores.parquet", "probe.parquet")
        )
        assert not stream & probe


@pytest.mark.parametrize("stream", ["balanced", "noise"])
def test_a_method_that_never_updates_scores_as_the_source_to_the_bit(bench: Path, stream: str) -> None:
    for missing in ("", "depth"):
        for target in ("a", "b"):
            pair = [
                rows_of(bench, stream=stream, missing=missing, target=target, method=m)[0] for m in ("source", "never")
            ]
            np.testing.assert_array_equal(*(scores_of(bench, row) for row in pair))
            np.testing.assert_array_equal(*(scores_of(bench, row, "probe.parquet") for row in pair))


def test_tables_and_comparisons(bench: Path) -> None:
    result = json.loads((bench / "results.json").read_text())
    never = [entry for entry in result["comparisons"] if entry["method"] == "never"]
    assert len(never) == 8
    assert {(entry["difference"], entry["p_holm"], entry["verdict"]) for entry in never} == {(0.0, 1.0, "tie")}
    assert {entry["method"] for entry in result["cost"]} == {"eager", "never"}
    page = (bench / "tables.md").read_text()
    titles = ("HTER, small, stream balanced", "HTER against source", "Held-out people", "Pseudo labels", "Speed")
    assert all(f"## {title}" in page for title in titles)
    assert (bench / "tables.csv").read_text().startswith("table,row,column,value,deviation\n")


def test_only_what_is_not_finished_is_computed_again(bench: Path, given: dict[str, Any], tmp_path: Path) -> None:
    first, second = (bench / "cells" / row["cell"] for row in rows_of(bench, stream="balanced", method="eager")[:2])
    before = {folder: (folder / "scores.parquet").read_bytes() for folder in (first, second)}
    (first / "row.json").unlink()  # killed while it ran
    shutil.rmtree(second)
    summary = run(given, tmp_path)
    assert (summary["computed"], summary["failed"]) == (2, 0)
    assert {folder: (folder / "scores.parquet").read_bytes() for folder in (first, second)} == before


def test_stored_maps_change_no_score_beyond_rounding(
    bench: Path, given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Workbench, "may_serve", lambda *_: False)
    grid = Grid(BenchConfig(**{**given, "methods": {"source": {}, "eager": given["methods"]["eager"]}}))
    for stream in grid.recipes:
        cell = Cell("a", ("b",), "small", 0, "", stream, 0, "eager")
        run_cell(Workbench(grid), cell, tmp_path / stream)
        (row,) = rows_of(bench, target="a", missing="", stream=stream, method="eager")
        slow = read_scores(tmp_path / stream / "scores.parquet").column("score")
        np.testing.assert_allclose(scores_of(bench, row), slow, atol=0.02)


class Broken(Source):
    """Fails at its second batch."""

    def step(self, batch: Any) -> Any:
        if self._step:
            raise RuntimeError("planted")
        return super().step(batch)


def test_a_method_that_breaks_is_a_row_and_the_rest_goes_on(
    bench: Path, given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.names()
    monkeypatch.setitem(registry._METHODS, "broken", Broken)
    methods = {"broken": {}, **given["methods"]}
    more = {"streams": {"balanced": {"captures": 20}}, "methods": methods, "targets": ["a", "b"], "cost_captures": 0}
    for _ in range(2):
        summary = run(given, tmp_path, **more)
        assert (summary["computed"], summary["failed"]) == (4, 4), "the failed cells are tried again, no others"
        assert {row["status"] for row in rows_of(bench, method="broken")} == {"failed: RuntimeError: planted"}
        assert {row["status"] for row in rows_of(bench, method="eager")} == {"ok"}
        assert "failed: RuntimeError: planted" in (bench / "tables.md").read_text()


class Lost(Source):
    """Has no score for its third capture."""

    def step(self, batch: Any) -> Any:
        prediction, report = super().step(batch)
        prediction.score[2] = float("nan")
        return prediction, report


def test_a_score_that_is_not_a_number_is_a_failure_and_no_capture_without_an_answer(
    bench: Path, given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.names()
    monkeypatch.setitem(registry._METHODS, "lost", Lost)
    grid = Grid(BenchConfig(**{**given, "methods": {"source": {}, "lost": {}}}))
    with pytest.raises(ScoreError, match="finite score for every capture, got 1 of 10"):
        run_cell(Workbench(grid), Cell("a", ("b",), "small", 0, "", "balanced", 0, "lost"), tmp_path / "lost")


def test_the_probe_of_a_method_with_an_answer_of_its_own_is_scored_even_if_nothing_moved(
    bench: Path, given: dict[str, Any], tmp_path: Path
) -> None:
    """3A-TTA answers with the mean of the heads, from the first capture on."""
    waiting = {"method": "ta3_fas", "settings": {"min_score": 0.999999}}
    grid = Grid(BenchConfig(**{**given, "methods": {"source": {}, "waiting": waiting}}))
    run_cell(Workbench(grid), Cell("a", ("b",), "small", 0, "", "balanced", 0, "waiting"), tmp_path / "waiting")
    assert read_json(tmp_path / "waiting" / "row.json", "row")["steps_taken"] == 0
    model = load_model(grid.config.model_dir("small", ("b",), 0))[0]
    probe = Captures({"a": grid.config.manifest_of("a")}, "a", ("a",), model.spec)
    rows = probe.at[probe.probe.rows].tolist()
    with torch.no_grad():
        expected = torch.sigmoid(mean_of_heads(model(probe.tensors.batch(rows))).logit).numpy()
    found = read_scores(tmp_path / "waiting" / "probe.parquet").column("score")
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_thinned_probe_keeps_whole_presentations_and_the_stream(bench: Path, given: dict[str, Any]) -> None:
    paths = {"a": Grid(BenchConfig(**given)).config.manifest_of("a")}
    whole, thin = (Captures(paths, "a", ("a",), Preprocess(size=32), most) for most in (0, 9))
    assert 0 < len(thin.probe.rows) <= 9 < len(whole.probe.rows)
    assert len(thin.stream.rows) == len(whole.stream.rows)
    names = whole.manifest.column("presentation_id")[whole.probe.rows]
    kept = thin.manifest.column("presentation_id")[thin.probe.rows]
    assert len(kept) == np.isin(names, kept).sum()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"targets": ["a", "nowhere"]}, "unknown site 'nowhere'"),
        ({"models": {"resnet": {}}}, "expected a model out of"),
        ({"models": {"mfas_danet": {"depth": 3}}}, "models.mfas_danet: unknown key 'depth'"),
        ({"methods": {"source": {}, "magic": {}}}, "expected a method out of"),
        ({"methods": {"source": {}, "mfas_danet": {"settings": {"rate": 1}}}}, "unknown key 'rate'"),
        ({"methods": {"mfas_danet": {}}}, "expected 'source: {}' among the methods"),
        ({"streams": ["queue"]}, "unknown stream 'queue'"),
        ({"streams": {"door": {"captures": 60}}}, "stream 'door' at target 'a': expected 58 more bona_fide"),
        ({"streams": {"recurring": {"sites": ["moon"]}}}, "stream sites out of target, sources, b, got 'moon'"),
        ({"missing": ["rgb,depth,ir"]}, "leave at least one modality"),
        ({"targets": ["a"]}, "expected sources, or at least two targets"),
        ({"targets": ["a"], "sources": ["a", "b"]}, "not among the sources, got 'a'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_configurations_are_refused_before_anything_is_made(
    changes: dict[str, Any], sentence: str, given: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "bench.yaml"
    path.write_text(yaml.safe_dump({**given, **changes, "out": str(tmp_path / "out")}))
    assert sentence in refusal("benchmark", "--config", path)
    assert not (tmp_path / "out").exists()


def test_a_target_without_captures_to_stream_is_refused(given: dict[str, Any], tmp_path: Path) -> None:
    def test_only(row: Row, images: dict[str, np.ndarray], attack: bool) -> None:
        row["split"] = "test"

    write_manifest(captures(tmp_path, 6, test_only), tmp_path / "m.parquet")
    manifests = {**given["manifests"], "empty": str(tmp_path / "m.parquet")}
    path = tmp_path / "bench.yaml"
    path.write_text(yaml.safe_dump({**given, "manifests": manifests, "targets": ["empty"], "sources": ["a"]}))
    assert "expected captures in split 'train' of site 'empty', got none" in refusal("benchmark", "--config", path)


def test_a_model_trained_otherwise_is_not_taken_for_ours(bench: Path, given: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "bench.yaml"
    path.write_text(yaml.safe_dump({**given, "training": {"epochs": 2}}))
    assert "expected a model trained with loop.epochs 2 in" in refusal("benchmark", "--config", path)


@pytest.mark.parametrize("name", ["smoke", "main", "hostile", "orders", "ablation"])
def test_the_configurations_of_the_repository_can_be_run(name: str, tmp_path: Path) -> None:
    pytest.importorskip("numba")
    file = Path(__file__).resolve().parents[2] / "benchmarks" / "bench" / f"{name}.yaml"
    check(Grid(BenchConfig.resolve(file, given={"out": tmp_path})))
