"""Guards from the command line: the canary's manifest, and the delta a site deploys."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from commands import mfas, refusal
from mfas.adaptation.registry import create
from mfas.adaptation.saving import load_state
from mfas.benchmark.labelled_run import read_labelled
from mfas.core import Label
from mfas.data.dataset import batches
from mfas.data.manifest import Manifest, read_manifest, write_manifest
from mfas.models.store import load_model


@pytest.fixture(scope="module")
def parts(site: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Forty captures of the site as a stream, the other twenty as a canary, its twin whose file differs."""
    folder = tmp_path_factory.mktemp("parts")
    listed = read_manifest(site / "manifest.parquet")
    rows = [
        {name: str(listed.column(name)[i]) for name in ("capture_id", "label", "species", "box", "depth_scale_m")}
        | {m: str(site / str(listed.column(m)[i])) for m in ("rgb", "depth", "ir")}
        for i in range(60)
    ]
    for name, some in (("stream", rows[:40]), ("canary", rows[40:]), ("other", rows[41:])):
        write_manifest(Manifest.from_rows(some, folder), folder / f"{name}.csv")
    return {name: folder / f"{name}.csv" for name in ("stream", "canary", "other")}


@pytest.fixture(scope="module")
def adapted(model_dir: Path, parts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `tent`, far enough that the scores are others."""
    out = tmp_path_factory.mktemp("adapted")
    given = ("--method", "tent", "--set", "settings.learning_rate=0.02", "--set", "threads=1", "--out", out)
    mfas("adapt", "--model", model_dir, "--manifest", parts["stream"], *given, "--json").json()
    return out


def test_the_canary_is_read_from_its_manifest_under_the_stream_s_conditions(
    model_dir: Path, parts: dict[str, Path]
) -> None:
    _, card = load_model(model_dir)
    listed = read_manifest(parts["canary"])
    known = read_labelled(parts["canary"], read_manifest(parts["stream"]), card, missing="depth")
    assert known.threshold == card.threshold("depth")
    assert list(known.labels) == [Label(text) for text in listed.column("label")]
    assert list(known.species) == listed.column("species").tolist()
    assert not any(bool(batch.present[:, 1].any()) for batch in known.batches)


def test_a_guarded_run_reports_its_guards_and_belongs_to_its_canary(
    model_dir: Path, parts: dict[str, Path], tmp_path: Path
) -> None:
    given = ("adapt", "--model", model_dir, "--manifest", parts["stream"], "--method", "tent+anchor+canary")
    own = ("--set", "settings.tent.learning_rate=0.5", "--set", "settings.canary.tolerance=0", "--set", "threads=1")
    own = (*own, "--set", "settings.canary.loss_share=0", "--set", "settings.anchor.radius=0.4", "--out", tmp_path)
    mfas(*given, *own, "--set", f"settings.canary.manifest={parts['canary']}", "--json").json()
    steps = [json.loads(line) for line in (tmp_path / "steps.jsonl").read_text("utf-8").splitlines()]
    assert [step["step"] for step in steps] == list(range(4))
    assert all(step["drift"] <= 0.4 * (1 + 1e-5) for step in steps)
    assert any("rolled back: " in str(step["guard"]) for step in steps)
    assert all("canary_bpcer" in step["signals"] for step in steps if step["skipped_reason"] != "cooling down")
    identity = json.loads((tmp_path / "run.json").read_text("utf-8"))["identity"]
    assert len(identity["canary.manifest"]) == 64


def test_captures_of_the_stream_are_no_canary(model_dir: Path, parts: dict[str, Path], tmp_path: Path) -> None:
    given = ("adapt", "--model", model_dir, "--manifest", parts["canary"], "--method", "mfas_danet+canary")
    sentence = refusal(*given, "--out", tmp_path, "--set", f"settings.canary.manifest={parts['other']}")
    assert "not in the stream" in sentence


def test_predict_deploys_the_delta_of_its_model(
    model_dir: Path, parts: dict[str, Path], adapted: Path, tmp_path: Path
) -> None:
    row = read_manifest(parts["canary"]).row(0)
    files = ("--rgb", row.rgb, "--depth", row.depth, "--ir", row.ir, "--box", row.box)
    given = ("predict", "--model", model_dir, *files, "--set", f"depth_scale_m={row.depth_scale_m}")
    plain = mfas(*given, "--json").json()["score"]
    deployed = mfas(*given, "--delta", adapted, "--json").json()["score"]
    model, card = load_model(model_dir)
    adapter = create("tent", model, card, {"learning_rate": 0.02})
    load_state(adapter, adapted, {})
    (item,) = batches(read_manifest(parts["canary"]), card.preprocess, 1, order=[0])
    assert item.batch is not None
    assert deployed == pytest.approx(float(adapter.predict(item.batch).score[0]), abs=1e-6)
    assert abs(deployed - plain) > 1e-4

    other = shutil.copytree(model_dir, tmp_path / "other")
    text = (other / "card.json").read_text("utf-8")
    (other / "card.json").write_text(text.replace('"licence": "unspecified"', '"licence": "another"'), "utf-8")
    assert "made with model" in refusal("predict", "--model", other, *files, "--delta", adapted)

    broken = shutil.copytree(adapted, tmp_path / "broken")
    content = bytearray((broken / "delta.safetensors").read_bytes())
    content[-1] ^= 1
    (broken / "delta.safetensors").write_bytes(bytes(content))
    assert "does not match its record" in refusal(*given, "--delta", broken)
    assert "adaptation state not found" in refusal(*given, "--delta", tmp_path)
