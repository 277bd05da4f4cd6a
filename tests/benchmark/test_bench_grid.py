"""Parts of a grid, the plan before a run, cells computed anew, methods from outside, and what is refused."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benches import rows_of, run, scores_of
from commands import mfas, refusal
from mfas.benchmark import bench_cost
from mfas.benchmark.bench_cells import Cell, Grid
from mfas.benchmark.bench_checks import check
from mfas.benchmark.bench_config import BenchConfig

FLIPPED = '''
"""A method from outside: the source model's answer, moved by a constant."""

from dataclasses import replace

from mfas.adaptation.registry import register
from mfas.adaptation.source import Source
from mfas.errors import ConfigError


@register("outsider")
class Outsider(Source):
    def step(self, batch):
        prediction, report = super().step(batch)
        return replace(prediction, score=prediction.score * {factor}), report


@register("choosy")
class Choosy(Source):
    def __init__(self, model, card, settings, seed):
        raise ConfigError("expected a model with BatchNorm layers, got none")
'''


@pytest.fixture
def plugin(own_registry: None, tmp_path: Path) -> Path:
    path = tmp_path / "outside.py"
    path.write_text(FLIPPED.replace("{factor}", "0.5"))
    return path


def test_parts_are_a_union_that_shares_cells_with_the_whole_grid(
    bench: Path, given: dict[str, Any], tmp_path: Path
) -> None:
    parts = [
        {"methods": ["eager"], "streams": ["balanced"]},
        {"methods": ["eager", "never"], "targets": ["a"], "missing": [""], "streams": ["balanced"]},
    ]
    summary = run(given, tmp_path, parts=parts)
    rows = rows_of(bench)
    assert {(r["method"], r["target"], r["missing"], r["stream"]) for r in rows} == {
        *((m, t, p, "balanced") for m in ("source", "eager") for t in "ab" for p in ("", "depth")),
        ("never", "a", "", "balanced"),
    }
    assert (summary["cells"], summary["computed"], summary["failed"]) == (9, 0, 0)
    table = (bench / "tables.md").read_text().split("## AUC")[0]
    assert [line.split(" | ")[:2] for line in table.splitlines() if "never" in line] == [["| never", "a"]], (
        "a mean over targets that were not all run would be compared with one that were"
    )


def test_the_plan_tells_what_is_left_and_measured_rates_replace_guesses(
    bench: Path, given: dict[str, Any], tmp_path: Path
) -> None:
    first = json.loads((bench / "results.json").read_text())["plan"]
    assert (first["cells"], first["to_compute"], first["trainings"]) == (24, 24, 2)
    assert not any(rate["measured"] for rate in first["rates"])
    assert 0 < first["training_hours"] < first["estimated_hours"]
    path = tmp_path / "bench.yaml"
    path.write_text(yaml.safe_dump({**given, "seeds": [0, 1], "cost_captures": 0}))
    answer = mfas("benchmark", "--config", path)
    assert answer.err.startswith("benchmark: 24 of 48 cells to compute; about ")
    second = json.loads((bench / "results.json").read_text())["plan"]
    assert {rate["method"]: rate["measured"] for rate in second["rates"]} == dict.fromkeys(given["methods"], True)
    assert second["trainings"] == 0
    assert second["real_cell_hours"] == pytest.approx(sum(r["wall_seconds"] for r in rows_of(bench)) / 3600)


def test_a_method_whose_code_changed_is_computed_anew_with_all_that_rests_on_it(
    bench: Path, given: dict[str, Any], tmp_path: Path
) -> None:
    changed = bench / "differences" / "old.json"
    changed.write_text("{}")
    before = {row["cell"] for row in rows_of(bench)}
    path = tmp_path / "bench.yaml"
    path.write_text(yaml.safe_dump(given))
    assert mfas("benchmark", "--config", path, "--fresh", "never", "--json").json()["computed"] == 8
    assert {row["cell"] for row in rows_of(bench)} == before
    assert not changed.exists()
    assert "expected a row to compute anew out of eager, never, source, got 'magic'" in refusal(
        "benchmark", "--config", path, "--fresh", "magic"
    )


def test_one_recipe_stands_in_several_rows_with_batch_sizes_of_their_own(
    bench: Path, given: dict[str, Any], tmp_path: Path
) -> None:
    streams = {f"batch_{n}": {"recipe": "balanced", "captures": 20, "batch_size": n} for n in (1, 64)}
    run(given, tmp_path, streams=streams, targets=["a", "b"], missing=[""], cost_captures=0)
    one, many = (rows_of(bench, stream=f"batch_{n}", method="eager", target="a")[0] for n in (1, 64))
    assert (one["batch_size"], many["batch_size"]) == (1, 64)
    steps = (bench / "cells" / many["cell"] / "steps.jsonl").read_text().splitlines()
    assert [json.loads(line)["seen"] for line in steps] == [20]


def test_settings_of_every_part_of_a_guarded_method_are_in_the_hash(bench: Path, given: dict[str, Any]) -> None:
    """The settings of the outermost guard say nothing of the method in it."""
    found = set()
    for settings in ({}, {"mfas_danet": {"learning_rate": 0.5}}, {"anchor": {"pull": 0.5}}):
        methods = {"source": {}, "guarded": {"method": "mfas_danet+anchor", "settings": settings}}
        grid = Grid(BenchConfig(**{**given, "methods": methods}))
        check(grid)
        found.add(grid.key(next(cell for cell in grid.cells() if cell.method == "guarded")))
    assert len(found) == 3


def test_all_methods_of_a_model_are_timed_on_captures_of_its_first_cell(
    bench: Path, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [{"methods": ["source"]}, {"methods": ["never"], "targets": ["b"]}]
    grid = Grid(BenchConfig(**{**given, "parts": parts}))
    shutil.rmtree(bench / "cost")
    timed: list[Cell] = []
    monkeypatch.setattr(bench_cost, "_batches", lambda _, cell: timed.append(cell))
    monkeypatch.setattr(bench_cost, "_cost", lambda *_: {"relative": 1.0, "state_mib": 0.0})
    cells = list(grid.cells())
    assert [entry["method"] for entry in bench_cost.costs(grid, cells)] == ["never"]
    assert timed == cells[:1]


def test_an_episode_begins_with_the_source_model(bench: Path, given: dict[str, Any], tmp_path: Path) -> None:
    """Every capture is a presentation here: what a method learns from it is gone before the next."""
    streams = {f"every_{n}": {"recipe": "episodic", "captures": 12, "episode": n} for n in (0, 1)}
    strong = {"method": "tent", "settings": {"learning_rate": 0.05}}
    methods = {"source": {}, "strong": strong}
    run(given, tmp_path, streams=streams, methods=methods, missing=[""], cost_captures=0)
    for stream, same in (("every_0", False), ("every_1", True)):
        pair = [rows_of(bench, stream=stream, method=m, target="a")[0] for m in methods]
        assert pair[1]["steps_taken"] == 12
        assert np.allclose(*(scores_of(bench, row) for row in pair), atol=1e-6) == same


def test_a_plugin_is_a_method_in_adapt_and_benchmark_and_its_content_is_in_the_hash(
    bench: Path, given: dict[str, Any], plugin: Path, tmp_path: Path
) -> None:
    changes = {"methods": {"source": {}, "outsider": {}}, "parts": [{"targets": ["a"], "missing": [""]}]}
    changes |= {"streams": {"balanced": {"captures": 20}}}
    path = tmp_path / "bench.yaml"
    path.write_text(yaml.safe_dump({**given, **changes, "workers": 2, "cost_captures": 0}))
    command = ("benchmark", "--config", path, "--plugin", plugin, "--json")
    summary = mfas(*command).json()
    assert (summary["computed"], summary["failed"]) == (1, 0)
    source, outsider = (rows_of(bench, method=m, target="a")[0] for m in ("source", "outsider"))
    np.testing.assert_allclose(scores_of(bench, outsider), scores_of(bench, source) / 2, atol=1e-4)
    plugin.write_text(FLIPPED.replace("{factor}", "0.25"))
    assert mfas(*command, "--workers", 1).json()["computed"] == 1
    assert rows_of(bench, method="outsider", target="a")[0]["cell"] != outsider["cell"]
    model = next(path.parent for path in bench.glob("models/*/card.json"))
    run_of = ("adapt", "--model", model, "--manifest", given["manifests"]["a"], "--method", "outsider")
    answer = mfas(*run_of, "--plugin", plugin, "--out", tmp_path / "adapted", "--json").json()
    assert answer["method"] == "outsider"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"parts": [{"methods": ["cotta"]}]},
            "expected parts.0.methods out of 'eager', 'never', 'source', got 'cotta'",
        ),
        ({"parts": [{}, {"streams": ["door"]}]}, "expected parts.1.streams out of 'balanced', 'noise', got 'door'"),
        ({"parts": [{"method": ["eager"]}]}, "unknown key 'parts.0.method'"),
        ({"against": ["tent"]}, "expected against out of eager, never, source, got 'tent'"),
        (
            {"methods": {"source": {}, "choosy": {}}},
            "method 'choosy' with model 'small': expected a model with BatchNorm",
        ),
        ({"plugins": ["nowhere.py"]}, "expected a Python file as plug-in, got nowhere.py"),
        ({"streams": {"gradual": {"every": 5}}}, "expected one order of presentations, got every and transition"),
        ({"streams": {"x": {"recipe": "queue"}}}, "unknown stream 'queue'"),
        ({"streams": {"continual": {"captures": 90}}}, "more bona_fide presentations of a for the stream"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_configurations_are_refused_before_anything_is_made(
    changes: dict[str, Any], sentence: str, given: dict[str, Any], plugin: Path, tmp_path: Path
) -> None:
    path = tmp_path / "bench.yaml"
    path.write_text(yaml.safe_dump({"plugins": [str(plugin)], **given, **changes, "out": str(tmp_path / "out")}))
    assert sentence in refusal("benchmark", "--config", path)
    assert not (tmp_path / "out").exists()


def test_a_method_that_one_model_cannot_have_is_kept_to_another_by_a_part(
    given: dict[str, Any], plugin: Path, tmp_path: Path
) -> None:
    """The check asks for pairs that some part holds, and for no others."""
    values = {**given, "methods": {"source": {}, "eager": given["methods"]["eager"], "choosy": {}}}
    values |= {"plugins": [str(plugin)], "parts": [{"methods": ["eager"]}]}
    grid = Grid(BenchConfig(**values))
    assert {cell.method for cell in grid.cells()} == {"source", "eager"}


def test_a_plugin_may_not_take_the_name_of_a_method(own_registry: None, given: dict[str, Any], tmp_path: Path) -> None:
    plugin = tmp_path / "thief.py"
    plugin.write_text(FLIPPED.replace('"outsider"', '"tent"').replace("{factor}", "1"))
    path = tmp_path / "bench.yaml"
    path.write_text(yaml.safe_dump({**given, "methods": {"source": {}, "tent": {}}}))
    assert "expected a name that is free, got 'tent', which mfas.adaptation.tent has" in refusal(
        "benchmark", "--config", path, "--plugin", plugin
    )


def test_without_ray_one_sentence_names_the_extra(
    bench: Path, given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    path = tmp_path / "bench.yaml"
    path.write_text(yaml.safe_dump(given))
    assert refusal("benchmark", "--config", path, "--ray", "local") == (
        "a benchmark on a Ray cluster needs the 'ray' extra: pip install 'mfas[ray]'"
    )
