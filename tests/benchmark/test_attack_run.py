"""`mfas audit attack` end to end on made-up captures, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from benches import made_site
from commands import left_over, mfas, refusal
from mfas.core import MISSING_PATTERNS
from mfas.models.store import save_model
from pages import parse
from toys import card, trained

SMALL = (
    "--set", "captures=4", "--set", "live=4", "--set", "perturb.steps=1", "--set", "strength=2", "--set", "threads=1",
    "--set", "patch.captures=2", "--set", "patch.side=0.5", "--set", "patch.steps=1", "--set", "stream.captures=10",
    "--set", "stream.probe=8", "--set", "stream.canary=6",
)  # fmt: skip
ONE_KIND = (
    "--set", "kinds=[all]", "--set", "stream.captures=0", "--set", "strength=0", "--set", "patch.captures=0",
    "--set", "missing=['', 'ir']", *SMALL[:6],
)  # fmt: skip


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_site(tmp_path_factory.mktemp("made"), "a")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two model directories: ``one`` has complements, ``two`` has none."""
    root = tmp_path_factory.mktemp("models")
    for name, model in (("one", "mfas_danet"), ("two", "late_fusion")):
        save_model(trained(model, 10), card(model), root / name)
    return root


@pytest.fixture(scope="module")
def adapted(manifest: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("adapted") / "site"
    mfas("adapt", "--model", folder / "one", "--manifest", manifest, "--out", out, "--set", "threads=1",
         "--method", "tent", "--set", "settings.learning_rate=0.05", "--json").json()  # fmt: skip
    return out


@pytest.fixture(scope="module")
def result(manifest: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("attacked")
    argv = ("audit", "attack", "--model", folder / "one", "--model", folder / "two")
    return dict(mfas(*argv, "--manifest", manifest, "--out", out, *SMALL, "--json").json())


def test_what_is_measured(result: dict[str, Any]) -> None:
    names = ["one", "two"]
    assert [model["name"] for model in result["models"]] == names
    rates = {(row["victim"], row["kind"], row["missing"]): row["accepted"] for row in result["matrix"]}
    assert len(rates) == 2 * 12 * 7
    for name in names:
        for missing in MISSING_PATTERNS:
            assert rates[name, "all", missing] >= rates[name, "clean", missing]
            assert rates[name, "rgb", missing] >= rates[name, "clean", missing]
        # what is taken away cannot be attacked
        assert rates[name, "rgb", "rgb"] == rates[name, "clean", "rgb"]
        assert rates[name, "depth", "depth,ir"] == rates[name, "clean", "depth,ir"]
    assert {(row["from"], row["to"]) for row in result["transfer"]} == {(a, b) for a in names for b in names}
    assert {row["victim"] for row in result["residual"]} == {"one"}
    assert {row["modality"] for row in result["patches"]} == {"rgb", "depth", "ir"}
    assert result["captures"]["attack"] == 4


def test_the_own_row_of_a_transfer_is_the_matrix(result: dict[str, Any]) -> None:
    full = {(row["victim"], row["kind"]): row["accepted"] for row in result["matrix"] if row["missing"] == ""}
    for row in result["transfer"]:
        if row["from"] == row["to"]:
            assert row["accepted"] == full[row["from"], row["kind"]]
            assert row["clean"] == full[row["to"], "clean"]


def test_an_adapted_state_is_another_victim(manifest: Path, folder: Path, adapted: Path, tmp_path: Path) -> None:
    argv = ("audit", "attack", "--model", folder / "one", "--delta", adapted, "--manifest", manifest, *ONE_KIND)
    found = mfas(*argv, "--out", tmp_path, "--json").json()
    assert [model["name"] for model in found["models"]] == ["one", "one + site"]
    gains = {row["victim"]: row["gain"] for row in found["matrix"] if row["kind"] == "all" and not row["missing"]}
    assert gains["one"] != gains["one + site"]


def test_streams_with_every_protection_on_and_off(result: dict[str, Any]) -> None:
    for name in ("one", "two"):
        rows = [row for row in result["stream"] if row["victim"] == name]
        assert rows[0]["variant"] == "unadapted"
        assert len(rows) == 1 + 2 * 14
        assert {row["perturbed"] for row in rows if row["share"]} == {rows[2]["perturbed"]} != {0}
        assert all(row["perturbed"] == 0 for row in rows if not row["share"])
        assert all(0 <= row["apcer"] <= row["apcer_max"] <= 1 for row in rows)
        held = next(row for row in rows if row["variant"] == "as shipped")
        assert held["updates"] == 0
        assert held["apcer"] == rows[0]["apcer"]


def test_files_that_are_left(result: dict[str, Any]) -> None:
    page = Path(result["page"])
    written = json.loads((page.parent / "attack.json").read_text())
    assert written["matrix"] == result["matrix"]
    assert json.loads((page.parent / "config.json").read_text())["verb"] == "audit attack"
    assert left_over(page.parent) == []
    html = page.read_text()
    seen = parse(html)
    assert seen.faults == []
    assert seen.stack == []
    assert seen.references == []
    assert {link[1:] for link in seen.links} <= set(seen.ids)
    assert {"matrix", "transfer", "strength", "residual", "patches", "stream"} <= set(seen.ids)
    for sentence in result["findings"]:
        assert sentence.replace("'", "&#39;").replace('"', "&#34;") in html


def test_a_short_answer_for_people_and_the_same_seed(manifest: Path, folder: Path, tmp_path: Path) -> None:
    argv = ("audit", "attack", "--model", folder / "two", "--manifest", manifest, *ONE_KIND)
    shown = mfas(*argv, "--out", tmp_path / "a")
    assert shown.code == 0, shown.err
    assert "accepted, two:" in shown.out
    again = mfas(*argv, "--out", tmp_path / "b", "--json").json()
    first = json.loads((tmp_path / "a" / "attack.json").read_text())
    assert first["matrix"] == again["matrix"]
    assert again["stream"] == again["patches"] == again["strength"] == []


def test_bad_input_is_one_sentence(manifest: Path, folder: Path, adapted: Path, tmp_path: Path) -> None:
    def refused(*more: object, model: Path = folder / "one") -> str:
        return refusal("audit", "attack", "--model", model, "--manifest", manifest, "--out", tmp_path / "o", *more)

    assert "greater than 0" in refused("--set", "perturb.budget.rgb=0")
    assert "got 'sonar'" in refused("--set", "kinds=[sonar]")
    assert "got 'sonar'" in refused("--set", "missing=[sonar]")
    assert "species out of print_flat, got 'hologram'" in refused("--set", "species=[hologram]")
    assert "model directory" in refused(model=tmp_path / "none")
    assert "got one of another" in refused("--delta", adapted, model=folder / "two")
    shutil.copytree(folder / "one", tmp_path / "graph")
    content = json.loads((tmp_path / "graph" / "card.json").read_text())
    (tmp_path / "graph" / "model.safetensors").unlink()
    (tmp_path / "graph" / "card.json").write_text(json.dumps(content | {"files": {}}))
    assert "follows gradients, got none" in refused(model=tmp_path / "graph")
    assert "expected a value for 'manifest'" in refusal("audit", "attack", "--out", tmp_path / "o")
    assert not (tmp_path / "o" / "attack.json").exists()
