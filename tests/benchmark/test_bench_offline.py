"""Offline methods in the bench: rows that say so, sources for those that need them, and refusal where a stream is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from commands import refusal
from mfas.adaptation import registry
from mfas.benchmark.bench import run_bench
from mfas.benchmark.bench_cells import Grid
from mfas.benchmark.bench_checks import check
from mfas.benchmark.bench_config import BenchConfig
from mfas.benchmark.bench_offline import LabelledSource
from mfas.benchmark.bench_plan import kept
from mfas.card import Preprocess
from mfas.core import Label
from mfas.data.manifest import read_manifest, write_manifest
from mfas.data.scores import read_scores
from planted import Row, captures


def made_site(root: Path, name: str) -> Path:
    """Captures of seven people whose class is seen in the relief."""

    def change(row: Row, images: dict[str, np.ndarray], attack: bool) -> None:
        who = int(row["subject"][1:])
        row |= {"site": name, "capture_id": f"{name}-{row['capture_id']}", "subject": f"{name}-{who}"}
        row["split"] = ("train", "train", "train", "train", "validation", "validation", "test")[who]
        if attack:
            images["depth"][14:28, 14:28] += 40

    (root / name).mkdir()
    path = root / name / "manifest.parquet"
    write_manifest(captures(root / name, 84, change), path)
    return path


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> tuple[BenchConfig, list[dict[str, Any]]]:
    root = tmp_path_factory.mktemp("offline")
    small = {"preprocess": {"size": 32}, "architecture": {"backbone_options": {"width": 8}}}
    few = {"settings": {"passes": 1}}
    config = BenchConfig(
        **{
            "out": root / "out",
            "manifests": {name: made_site(root, name) for name in ("a", "b")},
            "targets": ["a"],
            "sources": ["b"],
            "models": {"small": {"model": "mfas_danet", "batch_size": 8, "threads": 1, **small}},
            "training": {"epochs": 1},
            "methods": {"source": {}, "tent": {}, **dict.fromkeys(registry.offline_names(), few)},
            "missing": ["depth"],
            "streams": {"noise": {"captures": 20, "checkpoints": 2, "failing_sensors": 0.3}},
            "seeds": [0],
            "draws": 100,
            "cost_captures": 10,
        }
    )
    run_bench(config)
    return config, json.loads((root / "out" / "results.json").read_text())["runs"]


def test_an_offline_row_says_so_and_is_scored_after_the_fit(bench: tuple[BenchConfig, list[dict[str, Any]]]) -> None:
    config, rows = bench
    offline = registry.offline_names()
    assert {row["status"] for row in rows} == {"ok"}
    assert {row["method"] for row in rows if row["transductive"]} == set(offline)
    first = next(row for row in rows if row["method"] == "source")
    for row in rows:
        folder = config.out / "cells" / row["cell"]
        tables = [read_scores(config.out / "cells" / r["cell"] / "scores.parquet") for r in (row, first)]
        assert (tables[0].column("capture_id") == tables[1].column("capture_id")).all()
        same = np.array_equal(*(table.column("score") for table in tables))
        assert same == (row["method"] == "source")
        assert (folder / "fit.json").is_file() == row["transductive"]
        if row["transductive"]:
            fit = json.loads((folder / "fit.json").read_text())
            assert row["steps_taken"] == fit["steps"] > 0
            assert bool(fit["source_captures"]) == registry.offline_class(row["method"]).needs_source
            assert row["probe_checkpoints"] == []


def test_the_source_is_drawn_by_class_from_its_train_split(bench: tuple[BenchConfig, list[dict[str, Any]]]) -> None:
    config, _ = bench
    path = config.manifests["b"]
    drawn = LabelledSource([path], Preprocess(size=32), 10, 0)
    genuine = torch.cat([some.genuine for some in drawn])
    assert (len(genuine), int(genuine.sum())) == (10, 5)
    manifest = read_manifest(path, require_labels=True)
    at = {name: i for i, name in enumerate(manifest.column("capture_id").tolist())}
    rows = [at[name] for some in drawn for name in some.batch.ids.capture_id]
    assert set(manifest.column("split")[rows]) == {"train"}
    assert (manifest.column("label")[rows] == np.where(genuine, Label.BONA_FIDE.value, Label.ATTACK.value)).all()


def test_a_cell_depends_on_the_source_manifest_where_the_method_reads_it(
    bench: tuple[BenchConfig, list[dict[str, Any]]],
) -> None:
    grid = Grid(bench[0])
    cells = {cell.method: cell for cell in grid.cells()}
    before = {name: grid.key(cell) for name, cell in cells.items()}
    grid._hashes[bench[0].manifests["b"]] = "another"
    changed = {name for name, cell in cells.items() if grid.key(cell) != before[name]}
    assert changed == {name for name in registry.offline_names() if registry.offline_class(name).needs_source}


def test_a_source_that_is_still_to_be_simulated_makes_its_cells_wait(
    bench: tuple[BenchConfig, list[dict[str, Any]]], tmp_path: Path
) -> None:
    """A model trained before, put there by hand, and a target that is no simulation: the source is all that lacks."""
    whole = Grid(bench[0])
    check(whole)
    manifests = {**bench[0].manifests, "b": tmp_path / "later.parquet"}
    grid = Grid(bench[0].model_copy(update={"manifests": manifests}))
    grid.settings = whole.settings
    known = {cell.method for cell in grid.cells() if kept(grid, cell)}
    assert known == set(bench[0].methods) - {"pmc"}


@pytest.mark.parametrize("name", registry.offline_names())
def test_a_stream_refuses_it_in_one_sentence(
    name: str, bench: tuple[BenchConfig, list[dict[str, Any]]], tmp_path: Path
) -> None:
    config, _ = bench
    model = config.model_dir("small", ("b",), 0)
    given = ("--model", model, "--manifest", config.manifests["a"], "--out", tmp_path / "out")
    assert "compare it with `mfas benchmark`" in refusal("adapt", *given, "--method", name)
    assert not (tmp_path / "out").exists()
