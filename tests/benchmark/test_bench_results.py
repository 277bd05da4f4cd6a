"""What a bench says at the end: differences against several rows, their mean, tables in four formats, figures."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from benches import run
from mfas.benchmark.bench_error_tables import error_tables
from mfas.benchmark.bench_formats import latex
from mfas.benchmark.bench_tables import against_tables, marks_of
from mfas.report.bench_data import Spread
from pages import parse


@pytest.fixture(scope="module")
def two(finished: Path, given: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds, both other rows to compare with."""
    folder = tmp_path_factory.mktemp("two")
    shutil.copytree(finished, folder / "out")
    run({**given, "out": str(folder / "out")}, folder, against=["source", "never"], seeds=[0, 1], cost_captures=0)
    return folder / "out"


@pytest.fixture(scope="module")
def against_two(two: Path) -> dict[str, Any]:
    return dict(json.loads((two / "results.json").read_text()))


def test_differences_against_two_rows_add_up(against_two: dict[str, Any]) -> None:
    found = {(e["against"], e["method"], e["stream"], e["target"], e["missing"]): e for e in against_two["comparisons"]}
    assert {key[:2] for key in found} == {("source", "eager"), ("source", "never"), ("never", "eager")}
    assert {entry["seeds"] for entry in found.values()} == {2}
    for (against, method, *place), entry in found.items():
        if (against, method) == ("never", "eager"):
            first, second = (found["source", m, *place]["difference"] for m in ("eager", "never"))
            assert entry["difference"] == pytest.approx(first - second)


def test_the_mean_of_a_row_is_that_of_its_cells_and_lies_in_its_interval(against_two: dict[str, Any]) -> None:
    summed = against_two["comparisons_summary"]
    assert len(summed) == 6
    assert any(entry["mean_low"] < entry["mean_high"] for entry in summed)
    for entry in summed:
        own = [e for e in against_two["comparisons"] if all(e[k] == entry[k] for k in ("against", "stream", "method"))]
        assert entry["mean_difference"] == pytest.approx(sum(e["difference"] for e in own) / len(own))
        assert entry["mean_low"] - 1e-12 <= entry["mean_difference"] <= entry["mean_high"] + 1e-12
        assert entry["wins"] + entry["ties"] + entry["losses"] == len(own) == 4


def test_every_format_holds_the_same_figures(two: Path, against_two: dict[str, Any]) -> None:
    rows = [r for r in against_two["runs"] if (r["method"], r["target"], r["missing"]) == ("eager", "a", "depth")]
    auc = [100 * r["auc"] for r in rows if r["stream"] == "balanced"]
    mean, deviation = sum(auc) / 2, abs(auc[0] - auc[1]) / 2**0.5
    with (two / "tables.csv").open() as handle:
        (line,) = [
            row
            for row in csv.DictReader(handle)
            if row["table"].startswith("AUC, small, stream balanced")
            and (row["row"], row["column"]) == ("eager / a", "without depth")
        ]
    assert (float(line["value"]), float(line["deviation"])) == pytest.approx((mean, deviation))
    for name, sign in (("tables.md", "±"), ("report.html", "±"), ("tables.tex", r"$\pm$")):
        assert f"{mean:.2f} {sign} {deviation:.2f}" in (two / name).read_text()


def test_the_page_needs_no_other_file_and_figures_stand_beside_the_tables(finished: Path) -> None:
    page = parse((finished / "report.html").read_text())
    assert not page.faults
    assert not page.references
    assert all(link[1:] in page.ids for link in page.links if link.startswith("#"))
    names = {path.name for path in (finished / "figures").iterdir()}
    stems = {f"{kind}_small{s}_stream_{n}{a}" for n in ("balanced", "noise") for kind, s, a in
             (("forest", "_s0", "_against_source"), ("pareto", "", ""))}  # fmt: skip
    assert names == {f"{stem}.{suffix}" for stem in stems for suffix in ("svg", "png")}


def test_transductive_methods_stand_apart_and_what_depends_on_the_batch_is_marked() -> None:
    place = {"model": "m", "stream": "s", "target": "a", "missing": "", "training_seed": 0, "seed": 0, "auc": 0.5}
    rows = [
        {**place, "method": "source", "hter": 0.2, "batch_independent": True},
        {**place, "method": "bn_stats", "hter": 0.3, "batch_independent": False},
        {**place, "method": "sees_all", "hter": 0.1, "batch_independent": True, "transductive": True},
    ]
    found = {table.title: [row[0] for row in table.rows] for table in error_tables(rows, marks_of(rows))}
    assert found == {
        "HTER, m, stream s": ["source", "source", "bn_stats*", "bn_stats*"],
        "AUC, m, stream s": ["source", "source", "bn_stats*", "bn_stats*"],
        "HTER, m, stream s, transductive methods": ["source", "source", "sees_all†", "sees_all†"],
        "AUC, m, stream s, transductive methods": ["source", "source", "sees_all†", "sees_all†"],
    }
    worst = {"target": "a", "missing": "", "difference": 0.0, "low": 0.0, "high": 0.0}
    figures = {"mean_difference": 0.0, "mean_low": None, "mean_high": None, "wins": 0, "ties": 1, "losses": 0}
    entry = {**place, **figures, "against": "source", "worst": worst}
    summed = [{**entry, "method": name} for name in ("bn_stats", "sees_all")]
    against = {table.title: [row[2] for row in table.rows] for table in against_tables(summed, rows)}
    assert against == {
        "HTER against source": ["bn_stats*"],
        "HTER against source, transductive methods": ["sees_all†"],
    }
    table = next(iter(error_tables(rows, marks_of(rows))))
    assert table.rows[2][2] == Spread(30.0)
    assert r"bn\_stats* & a & 30.00" in latex([table])
