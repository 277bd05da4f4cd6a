"""`mfas audit search`: planted detectors are beaten where they are blind, and what is written is whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import mfas, refusal
from mfas.audit.search import Space, Target, at_random, search
from mfas.benchmark.search_config import SearchConfig
from mfas.benchmark.search_run import Hunt
from mfas.benchmark.sources import read_sources
from mfas.benchmark.staged_scores import planes_of
from mfas.card import Card
from mfas.core import Label, Modality
from mfas.data.manifest import read_manifest
from mfas.data.preprocess import Planes
from mfas.simulation import Capture, choices, load_site, render_staged
from pages import parse
from toys import card

pytest.importorskip("cma")

SITE = load_site("dev_a")
SMALL = ("--budget", 7, "--set", "scenes=2", "--set", "repeats=2", "--set", "keep=3")


def brightness(captures: Sequence[Capture]) -> list[float]:
    """A detector that looks at nothing but the infrared level of the middle."""
    return [float(capture.ir[40:72, 40:72].mean()) / 255 for capture in captures]


def test_a_detector_of_infrared_brightness_is_beaten_by_the_reflectance() -> None:
    names = choices(SITE, "fake_head")
    space = Space(*(tuple(getattr(c, field) for c in names) for field in ("name", "low", "high")))
    target = Target(lambda v: render_staged(SITE, "fake_head", v, seed=0)[1], brightness)
    drawn = at_random(space, target, budget=50, seed=0)
    found = search(space, target, budget=50, seed=0)
    threshold = float(np.quantile([trial.score for trial in drawn.trials], 0.95))
    assert len(found.accepted(threshold)) > 2 * len(drawn.accepted(threshold))
    assert found.best.score > drawn.best.score
    easy = [trial.values["albedo_ir"] for trial in found.accepted(threshold)]
    assert float(np.median(easy)) > float(np.median([trial.values["albedo_ir"] for trial in drawn.trials]))


def contrast(planes: Sequence[Planes]) -> list[float]:
    """A detector that takes every face with features in infrared for a living one."""
    inner = slice(10, 22)
    return [float(min(1.0, item[Modality.IR][0, inner, inner].std())) for item in planes]


def test_a_hunt_finds_the_ink_that_shows_in_infrared(tmp_path: Path) -> None:
    names = choices(SITE, "print_flat")
    plain = {choice.name: (choice.low + choice.high) / 2 for choice in names}
    shown = [render_staged(SITE, "print_flat", plain | {"carbon": carbon}, seed=0)[1] for carbon in (0.02, 1.0)]
    dye, carbon = contrast([planes_of(capture, SITE, card()) for capture in shown])
    assert carbon > dye
    toy: Card = card().model_copy(update={"thresholds": {"": carbon}})
    config = SearchConfig(site="dev_a", out=tmp_path, budget=40, scenes=1, repeats=4, keep=4)
    hunt = Hunt(config, SITE, "print_flat", names, toy, contrast, ())
    row, listed = hunt.run()
    assert row["search"]["rate"] > row["random"]["rate"]
    assert row["easiest"]["accepted"]
    assert row["easiest"]["values"]["carbon"] > 0.3
    assert row["search"]["count"] == row["random"]["count"] == 40
    assert row["repeats"]["search"]["count"] == 4
    assert 1 <= len(listed) == row["found"] <= 4
    assert all((tmp_path / entry["ir"]).is_file() for entry in listed)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two species under a threshold of nearly nothing, so that something is found; not to be changed."""
    out = tmp_path_factory.mktemp("searched")
    model = lenient(tmp_path_factory.mktemp("lenient"))
    mfas("audit", "search", "--model", model, "--site", "dev_a", "--species", "print_flat,replay_oled",
         *SMALL, "--set", "ahead=2", "--out", out, "--json").json()  # fmt: skip
    return out


def lenient(folder: Path) -> Path:
    """The default weights with a threshold that everything passes."""
    from mfas.weights import default_directory

    source = default_directory()
    given = Card.read(source)
    for name in given.files:
        (folder / name).write_bytes((source / name).read_bytes())
    given.model_copy(update={"thresholds": dict.fromkeys(given.thresholds, 0.0)}).write(folder)
    return folder


def test_the_result_says_what_was_done(searched: Path) -> None:
    result = json.loads((searched / "search.json").read_text())
    assert (result["kind"], result["schema"]) == ("search", 1)
    assert result["command"].startswith("mfas audit search --model ")
    assert "--set ahead=2" in result["command"]
    assert "simulator" in result["environment"]
    assert result["model"]["files"].keys() == {"model.safetensors", "model.onnx", "families.safetensors"}
    assert [row["species"] for row in result["rows"]] == ["print_flat", "replay_oled"]
    assert len(result["findings"]) == 2
    for row in result["rows"]:
        assert row["search"]["cost"] <= row["random"]["cost"] == 7
        assert row["search"]["glances"] == 2 * row["search"]["count"]
        assert row["random"]["first_accepted"] == 1
        values = row["easiest"]["values"]
        assert values.keys() == {item["name"] for item in row["parameters"]}
        assert all(item["low"] <= values[item["name"]] <= item["high"] for item in row["parameters"])


def test_what_was_found_can_be_trained_on(searched: Path, site: Path) -> None:
    found = read_manifest(searched / "manifest.parquet", require_labels=True)
    rows = json.loads((searched / "search.json").read_text())["rows"]
    assert len(found) == sum(row["found"] for row in rows)
    assert all(1 <= row["found"] <= 3 for row in rows)
    assert {row.label for row in found} == {Label.ATTACK}
    assert set(found.column("split")) == {"train"}
    assert all((searched / row.path(m)).is_file() for row in found for m in Modality)
    assert json.loads(str(found.column("x_parameters")[0])).keys() >= {"quality", "yaw_deg"}
    both = read_sources([site / "manifest.parquet", searched / "manifest.parquet"], require_labels=True)
    assert len(both) == 60 + len(found)


def test_the_reported_score_is_that_of_the_written_capture(searched: Path) -> None:
    """The full render decides: the files that lie there get the score that is told, by another way."""
    result = json.loads((searched / "search.json").read_text())
    for row in result["rows"]:
        files = {m: searched / path for m, path in row["easiest"]["images"].items()}
        options = [x for m, path in files.items() for x in (f"--{m}", path)]
        answer = mfas("predict", *options, "--box", row["easiest"]["box"], "--json").json()
        assert answer["score"] == pytest.approx(row["easiest"]["score"], abs=2e-6)


def test_the_page_needs_no_other_file(searched: Path) -> None:
    page = parse((searched / "search.html").read_text())
    assert page.faults == []
    assert all(ref.startswith("data:image/") for ref in page.references)
    assert len(page.references) == 6
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert "print flat" in (searched / "search.html").read_text()


def test_the_same_seed_writes_the_same_files(tmp_path: Path) -> None:
    def run(name: str, seed: int) -> dict[str, Any]:
        argv = ("audit", "search", "--site", "dev_a", "--species", "print_flat", *SMALL, "--seed", seed)
        result = mfas(*argv, "--out", tmp_path / name, "--json").json()
        return {key: value for key, value in result.items() if key not in ("seconds", "command", "config")}

    assert run("a", 3) == run("b", 3)
    assert run("a", 3)["rows"] != run("c", 4)["rows"]


def test_nothing_found_leaves_no_manifest_and_says_so(tmp_path: Path) -> None:
    from mfas.weights import default_directory

    given = Card.read(default_directory())
    for name in given.files:
        (tmp_path / name).write_bytes((default_directory() / name).read_bytes())
    given.model_copy(update={"thresholds": dict.fromkeys(given.thresholds, 1.0), "notice": ""}).write(tmp_path)
    out = tmp_path / "out"
    answer = mfas("audit", "search", "--model", tmp_path, "--site", "dev_a", "--species", "print_flat", *SMALL,
                  "--out", out)  # fmt: skip
    assert answer.code == 0
    assert "rejected" in answer.out
    assert "manifest" not in answer.out
    assert not (out / "manifest.parquet").exists()
    assert "No capture was accepted" in (out / "search.html").read_text()


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    def sentence(*argv: object) -> str:
        return refusal("audit", "search", "--out", tmp_path / "o", *argv)

    assert "unknown species 'hologram'" in sentence("--site", "dev_a", "--species", "hologram")
    assert "unknown site 'atlantis'" in sentence("--site", "atlantis")
    assert "'budget'" in sentence("--site", "dev_a", "--budget", 0)
    assert "leaves a modality" in sentence("--site", "dev_a", "--missing", "rgb,depth,ir")
    assert "got 'sonar'" in sentence("--site", "dev_a", "--missing", "sonar")
    assert "expected a value for 'site'" in sentence()
    assert "model directory" in sentence("--site", "dev_a", "--model", tmp_path / "none")
    assert "budget of 3.6 renders" in sentence("--site", "dev_a", "--budget", 1, "--set", "ahead=4")
    (tmp_path / "file").write_text("")
    assert "got a file" in refusal("audit", "search", "--site", "dev_a", "--out", tmp_path / "file")
