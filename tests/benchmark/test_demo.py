"""The demo in miniature: two small sources, a target, two patterns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mfas.benchmark.demo import DemoConfig, run_demo
from mfas.benchmark.pseudo_labels import with_truth
from mfas.data.scores import read_scores

ROW_KEYS = {
    *("protocol", "sources", "target", "missing", "stream", "unit", "model", "method", "seed", "threshold"),
    *("n_bona_fide", "n_attack", "n_subjects", "n_presentations", "non_response", "intervals", "steps_taken"),
    *("seconds", "captures_per_second", "status", "bpcer", "apcer_by_species", "apcer_max", "apcer", "hter", "acer"),
    *("hter_eer", "auc", "bpcer_at_apcer_10pct", "bpcer_at_apcer_5pct", "bpcer_at_apcer_1pct"),
    *("tpr_at_fpr_1pct", "tpr_at_fpr_0_1pct"),
}


def small(out: Path) -> DemoConfig:
    return DemoConfig(
        out=out,
        sources=("office", "phone"),
        source_captures=60,
        target_captures=30,
        missing=("", "rgb,depth"),
        training={"preprocess": {"size": 48}, "loop": {"epochs": 1}},
        workers=1,
        threads=1,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("numba")
    out = tmp_path_factory.mktemp("demo")
    run_demo(small(out), [].append)
    return out


def test_writes_report_results_and_scores(demo: Path) -> None:
    assert {p.name for p in demo.iterdir()} >= {"report.html", "results.json", "scores.parquet", "config.json", "model"}
    result = json.loads((demo / "results.json").read_text())
    assert set(result) == {"runs", "environment"}
    cells = [(row["method"], row["missing"]) for row in result["runs"]]
    assert sorted(cells) == sorted((m, p) for m in ("source", "mfas_danet") for p in ("", "rgb,depth"))
    for row in result["runs"]:
        assert set(row) >= ROW_KEYS
        assert row["unit"] == "presentation"
        assert row["hter"] == pytest.approx((row["apcer"] + row["bpcer"]) / 2)
        assert ("hter_difference" in row) == (row["method"] != "source")
    assert len(read_scores(demo / "scores.parquet")) == 4 * 30


def test_the_report_stands_alone(demo: Path) -> None:
    page = (demo / "report.html").read_text("utf-8")
    assert "mfas_danet" in page
    for outside in ('src="http', "src='http", '<link rel="stylesheet" href', "<script src"):
        assert outside not in page
    assert str(demo) not in page, "no path of this machine"


def test_starting_again_after_an_interruption(demo: Path) -> None:
    before = (demo / "scores.parquet").read_bytes()
    folder = demo / "runs" / "mfas_danet_none_missing"
    (folder / "scores.parquet").unlink()
    (folder / "unfinished").mkdir()
    (folder / "unfinished" / "progress.json").write_text('{"identity": {}, "cursor": 3, "count": 1, "seconds": 1}')
    run_demo(small(demo), [].append)
    assert (demo / "scores.parquet").read_bytes() == before, "the same seed gives the same numbers"
    assert not (folder / "unfinished").exists()


def test_truth_is_counted_beside_the_steps() -> None:
    step = {"seen": 4, "accepted_ids": ["a", "b"], "pseudo_labels": ["attack", "attack"]}
    told = with_truth([step, step], {"a": "attack", "b": "bona_fide"})
    assert [s["seen"] for s in told] == [4, 8]
    assert told[0]["pseudo_label_correct"] == 1
    assert told[0]["pseudo_label_total"] == 2
