"""`mfas audit steal` end to end on made-up captures, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benches import made_site
from commands import left_over, mfas, refusal
from mfas.models.store import save_model
from pages import parse
from toys import card, trained

SMALL = (
    "--set", "queries=[6, 12]", "--set", "strategies=[diverse, both]", "--set", "answers=[score, label]",
    "--set", "pool=10", "--set", "test=12", "--set", "transfer=2", "--set", "rate_limit=4", "--set", "threads=1",
    "--set", "steal.epochs=1", "--set", "steal.least_steps=1", "--set", "steal.rounds=1", "--set", "perturb.steps=1",
    "--set", "detector.window=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_site(tmp_path_factory.mktemp("made"), "a")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "mine"
    save_model(trained("mfas_danet", 10), card(), out)
    return out


@pytest.fixture(scope="module")
def result(manifest: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("stolen")
    argv = ("audit", "steal", "--model", model, "--manifest", manifest, "--out", out)
    return dict(mfas(*argv, *SMALL, "--json").json())


def row_of(result: dict[str, Any], **equal: Any) -> dict[str, Any]:
    (found,) = [row for row in result["clones"] if all(row[key] == value for key, value in equal.items())]
    return dict(found)


def test_every_clone_is_there(result: dict[str, Any]) -> None:
    clones = result["clones"]
    assert len(clones) == 2 * 2 + 2 * 1 + 2 + 2 * 2
    for row in clones:
        assert 0 <= row["agreement"] <= 1
        assert 0 <= row["by_chance"] <= 1
        assert row["asked"] <= row["queries"]
        assert (row["mean_difference"] is None) == (row["answers"] == "label")
        assert row["transfer_clean"] == clones[0]["transfer_clean"]
        assert row["white_box"] >= row["transfer_clean"]
    assert row_of(result, defence="rate limit")["asked"] == 4
    stopped = row_of(result, defence="detector")
    plain = row_of(result, queries=12, strategy="both", answers="score", defence="")
    assert stopped["asked"] == (plain["alarm"] or 12)


def test_a_victim_that_learns_is_put_back(result: dict[str, Any]) -> None:
    rows = [row for row in result["clones"] if row["defence"] == "learning"]
    assert [row["asked"] for row in rows] == [6, 12]
    assert rows[0]["victim_before"] == rows[1]["victim_before"]
    assert all(row["updates"] >= 0 for row in rows)
    guarded = [row for row in result["clones"] if row["defence"] == "learning, guarded"]
    assert [row["asked"] for row in guarded] == [6, 12]
    assert all(one["updates"] <= other["updates"] for one, other in zip(guarded, rows, strict=True))


def test_files_that_are_left(result: dict[str, Any]) -> None:
    page = Path(result["page"])
    assert json.loads((page.parent / "steal.json").read_text())["clones"] == result["clones"]
    assert json.loads((page.parent / "config.json").read_text())["verb"] == "audit steal"
    assert left_over(page.parent) == []
    seen = parse(page.read_text())
    assert seen.faults == []
    assert seen.stack == []
    assert {link[1:] for link in seen.links} <= set(seen.ids)
    assert {"clones", "learning", "detector"} <= set(seen.ids)


def test_a_short_answer_and_the_same_seed(result: dict[str, Any], manifest: Path, model: Path, tmp_path: Path) -> None:
    argv = ("audit", "steal", "--model", model, "--manifest", manifest, "--out", tmp_path, *SMALL)
    shown = mfas(*argv, "--set", "strategies=[both]", "--set", "answers=[score]", "--set", "adapting=false")
    assert shown.code == 0, shown.err
    assert "agreement" in shown.out
    again = json.loads((tmp_path / "steal.json").read_text())
    same = {"queries": 12, "strategy": "both", "answers": "score", "defence": ""}
    first, second = row_of(result, **same), row_of(again, **same)
    assert {**first, "seconds": 0} == {**second, "seconds": 0}


def test_bad_input_is_one_sentence(manifest: Path, model: Path, tmp_path: Path) -> None:
    def refused(*more: object) -> str:
        return refusal("audit", "steal", "--model", model, "--manifest", manifest, "--out", tmp_path / "o", *more)

    assert "at least one query" in refused("--set", "queries=[0]")
    assert "'strategies" in refused("--set", "strategies=[clever]")
    assert "'steal.budget.rgb'" in refused("--set", "steal.budget.rgb=0")
    assert "benign traffic" in refused("--set", "detector.window=200")
    assert "model out of" in refused(*SMALL, "--set", "clone=parrot")
