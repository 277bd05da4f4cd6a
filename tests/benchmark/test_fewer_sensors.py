"""Sites that lack a sensor from the start: a model for what is there, and nothing asked of what it never saw."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import mfas, refusal
from mfas.card import Card
from mfas.data.manifest import Manifest, read_manifest
from mfas.data.scores import read_scores

SMALL = ("--set", "preprocess.size=48", "--set", "loop.epochs=1", "--set", "threads=1", "--json")


@pytest.fixture(scope="module")
def listed(site: Path) -> Manifest:
    return read_manifest(site / "manifest.parquet")


@pytest.fixture(scope="module")
def depth_model(listed: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("depth")
    rows = [f"{listed.resolve(r.depth)},{r.label},{r.subject},{r.split},full" for r in listed]
    (folder / "list.csv").write_text("depth,label,subject,split,box\n" + "\n".join(rows) + "\n")
    mfas("train", "--manifest", folder / "list.csv", "--out", folder / "m", *SMALL).json()
    return folder / "m"


def test_thresholds_only_where_something_was_seen(depth_model: Path) -> None:
    card = Card.read(depth_model)
    assert card.modalities == ("depth",)
    assert set(card.thresholds) == {"", "rgb", "ir", "rgb,ir"}


def test_sensors_it_never_saw_are_left_out(depth_model: Path, listed: Manifest) -> None:
    row = listed.row(0)
    argv = ("predict", "--model", depth_model, "--box", "full", "--json", "--depth", listed.resolve(row.depth))
    alone = mfas(*argv).json()
    both = mfas(*argv, "--rgb", listed.resolve(row.rgb)).json()
    assert both == alone
    assert alone["missing"] == "rgb,ir"
    sentence = refusal("predict", "--model", depth_model, "--rgb", listed.resolve(row.rgb))
    assert "trained on (depth)" in sentence


def test_a_stream_with_more_sensors_than_the_model(depth_model: Path, site: Path, tmp_path: Path) -> None:
    argv = ("adapt", "--model", depth_model, "--manifest", site / "manifest.parquet", "--out")
    assert mfas(*argv, tmp_path / "all").code == 0
    assert set(read_scores(tmp_path / "all" / "scores.parquet").column("present")) == {"depth"}
    assert mfas(*argv, tmp_path / "none", "--missing", "depth", "--json").json()["non_response"] == 60


def test_nothing_to_learn_from_is_said_at_once(listed: Manifest, tmp_path: Path) -> None:
    rows = [f"{listed.resolve(r.depth)},{r.label},{r.subject},{r.split}" for r in listed]
    (tmp_path / "list.csv").write_text("depth,label,subject,split\n" + "\n".join(rows) + "\n")
    sentence = refusal("train", "--manifest", tmp_path / "list.csv", "--out", tmp_path / "m", *SMALL)
    assert "with a face in split 'train'" in sentence
    assert "give a box" in sentence
