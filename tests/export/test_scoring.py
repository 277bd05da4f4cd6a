"""`mfas score`: a whole manifest to a table, the same bytes however it was run, and what it refuses."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from commands import left_over, mfas, refusal
from mfas._files import read_json, sha256
from mfas.card import INT8_FILE, ONNX_FILE, Card
from mfas.core import format_modalities, parse_modalities
from mfas.data.capture import NoFace, load_capture
from mfas.data.manifest import read_manifest
from mfas.data.preprocess import preprocess
from mfas.data.scores import read_scores
from mfas.export.predictor import OnnxPredictor, stack
from mfas.weights import default_directory
from planted import captures

SMALL = ("--set", "shard=4", "--batch", 3)
COUNT = 26


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Captures of a few pixels, some without depth, one unlabelled, one without a face and one with depth alone."""
    root = tmp_path_factory.mktemp("captures")
    rows = captures(root, COUNT)
    for row in rows[::5]:
        row["depth"] = ""
    rows[3] |= {"label": "", "species": ""}
    rows[9]["box"] = ""  # noise in which no face is found
    rows[13] |= {"rgb": "", "ir": ""}
    pq.write_table(pa.Table.from_pylist(rows), root / "manifest.parquet")
    return root / "manifest.parquet"


@pytest.fixture(scope="module")
def whole(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of an undisturbed run in one process; not to be changed."""
    out = tmp_path_factory.mktemp("whole") / "scores.parquet"
    mfas("score", "--manifest", manifest, "--out", out, "--workers", 1, *SMALL, "--json").json()
    return out


def score_argv(manifest: Path, out: Path, *more: object) -> tuple[object, ...]:
    return ("score", "--manifest", manifest, "--out", out, *SMALL, "--json", *more)


def by_hand(manifest: Path, missing: str = "") -> list[float]:
    """Each capture alone through the predictor; NaN where there is no answer."""
    predictor, rows = OnnxPredictor(default_directory(), threads=1), read_manifest(manifest)
    found = []
    for row in rows:
        capture = load_capture(row, rows.root, drop=parse_modalities(missing))
        if isinstance(capture, NoFace):
            found.append(float("nan"))
        else:
            planes = preprocess(capture, predictor.card.preprocess)
            found.append(float(predictor.predict(*stack([planes])).score[0]))
    return found


def test_a_table_in_the_order_of_the_manifest_with_the_scores_of_the_predictor(manifest: Path, whole: Path) -> None:
    scores, rows = read_scores(whole), read_manifest(manifest)
    for name in ("capture_id", "presentation_id", "subject", "site", "label", "species"):
        assert scores.column(name).tolist() == rows.column(name).tolist(), name
    assert np.allclose(scores.column("score"), by_hand(manifest), atol=1e-5, equal_nan=True)
    assert np.flatnonzero(scores.column("outcome") == "non_response").tolist() == [9]
    assert np.isnan(scores.column("score")[9])
    expected = [format_modalities(row.modalities) if row.index != 9 else "" for row in rows]
    assert scores.column("present").tolist() == expected
    assert set(scores.column("method")) == {"source"}
    assert set(scores.column("model")) == {Card.read(default_directory()).model}
    assert len(np.unique(scores.column("score"))) > COUNT // 2
    record = read_json(whole.with_name("scores.config.json"), "configuration")
    assert (record["verb"], record["config"]["shard"], record["config"]["batch"]) == ("score", 4, 3)
    assert "onnxruntime" in record["environment"]
    assert left_over(whole.parent) == []


def test_modalities_taken_away_are_not_used(manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.parquet"
    result = mfas(*score_argv(manifest, out, "--missing", "ir,depth", "--workers", 1)).json()
    scores = read_scores(out)
    assert np.allclose(scores.column("score"), by_hand(manifest, "depth,ir"), atol=1e-5, equal_nan=True)
    assert set(scores.column("missing")) == {"depth,ir"}
    assert set(scores.column("present")) == {"rgb", ""}
    # depth was all that capture 13 had
    assert np.flatnonzero(scores.column("outcome") == "non_response").tolist() == [9, 13]
    assert (result["captures"], result["non_response"], result["missing"]) == (COUNT, 2, "depth,ir")


def test_a_summary_with_the_seconds_of_each_stage(manifest: Path, tmp_path: Path) -> None:
    result = mfas(*score_argv(manifest, tmp_path / "s.parquet", "--workers", 1, "--set", "decoders=0")).json()
    assert set(result["stages"]) == {"manifest", "decode", "preprocess", "network", "write"}
    assert all(seconds > 0 for seconds in result["stages"].values())
    assert sum(result["stages"].values()) < result["seconds"]  # one thread did one after the other
    assert "simulated captures only" in result["notice"]


@pytest.mark.parametrize(
    "more", [("--workers", 2), ("--workers", 1, "--set", "decoders=0"), ("--workers", 1, "--set", "decoders=3")]
)
def test_the_same_bytes_from_any_number_of_processes_and_threads(
    more: tuple[object, ...], manifest: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores.parquet"
    mfas(*score_argv(manifest, out, *more)).json()
    assert out.read_bytes() == whole.read_bytes()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_records_in_the_order_of_the_manifest_that_agree_with_the_table(
    manifest: Path, whole: Path, tmp_path: Path
) -> None:
    out, records = tmp_path / "scores.parquet", tmp_path / "records.jsonl"
    result = mfas(*score_argv(manifest, out, "--records", records, "--workers", 1)).json()
    assert result["records"] == str(records)
    assert out.read_bytes() == whole.read_bytes()
    assert left_over(tmp_path) == []
    scores, found = read_scores(out), lines(records)
    card = Card.read(default_directory())
    assert [line["capture_id"] for line in found] == scores.column("capture_id").tolist()
    for k, line in enumerate(found):
        if scores.column("outcome")[k] == "non_response":
            assert line["policy"]["action"] == "no_decision"
            assert "no face" in line["answer"]
            continue
        assert line["evidence"]["score"] == pytest.approx(scores.column("score")[k], abs=1e-6)
        assert ",".join(line["modality"]["present"]) == scores.column("present")[k]
        missing = ",".join(line["modality"]["missing"])
        assert line["policy"]["threshold"] == pytest.approx(card.threshold(missing), abs=1e-6)
        accepted = scores.column("score")[k] >= card.threshold(missing)
        assert line["policy"]["action"] == ("accept" if accepted else "reject")
    again = tmp_path / "again.jsonl"
    mfas(*score_argv(manifest, tmp_path / "again.parquet", "--records", again, "--workers", 2)).json()
    assert again.read_bytes() == records.read_bytes()


def test_records_survive_a_kill_and_shards_without_them_are_scored_again(manifest: Path, tmp_path: Path) -> None:
    out, records = tmp_path / "scores.parquet", tmp_path / "records.jsonl"
    folder = tmp_path / "scores.parquet.parts"
    argv = score_argv(manifest, out, "--workers", 1)
    kill_midway((*argv, "--records", records), folder)
    assert not records.exists()
    next(iter(folder.glob("*.jsonl"))).unlink()  # as if this shard had been scored without records
    without = len(kept(folder))
    result = mfas(*argv, "--records", records).json()
    assert result["resumed"] == 4 * (without - 1)
    undisturbed = tmp_path / "whole" / "r.jsonl"
    mfas(*score_argv(manifest, tmp_path / "whole" / "s.parquet", "--records", undisturbed, "--workers", 1)).json()
    assert records.read_bytes() == undisturbed.read_bytes()
    assert not folder.exists()


def kill_midway(argv: tuple[object, ...], folder: Path) -> int:
    """SIGKILL a run once it has kept two shards; how many are kept."""
    command = [sys.executable, "-m", "mfas", *map(str, argv)]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    limit = time.monotonic() + 60
    while run.poll() is None and len(kept(folder)) < 2 and time.monotonic() < limit:
        time.sleep(0.002)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert run.returncode == -signal.SIGKILL, "the run ended before it was killed"
    return len(kept(folder))


def kept(folder: Path) -> list[Path]:
    return list(folder.glob("[0-9]*.parquet"))


def test_killed_and_run_again_it_goes_on_and_ends_in_the_same_bytes(
    manifest: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores.parquet"
    folder = tmp_path / "scores.parquet.parts"
    count = kill_midway(score_argv(manifest, out, "--workers", 1), folder)
    assert 2 <= count < 7
    assert not out.exists()
    (tmp_path / ".scores.0badf00d.part.parquet").write_bytes(b"PAR1")  # as a kill inside the last write leaves it
    (folder / ".0000002.0badf00d.part.parquet").write_bytes(b"PAR1")
    result = mfas(*score_argv(manifest, out, "--workers", 1)).json()
    assert result["resumed"] >= 8
    assert out.read_bytes() == whole.read_bytes()
    assert left_over(tmp_path) == []


def test_an_unreadable_image_names_its_capture_and_what_is_finished_stays(manifest: Path, tmp_path: Path) -> None:
    out, there = tmp_path / "scores.parquet", copy(manifest, tmp_path / "site")
    row = read_manifest(there).row(17)
    lost = there.parent / row.rgb
    content = lost.read_bytes()
    lost.unlink()
    sentence = refusal(*score_argv(there, out, "--workers", 1))
    assert sentence.startswith(f"capture {row.capture_id}: ")
    assert str(lost) in sentence
    assert not out.exists()
    lost.write_bytes(content[: len(content) // 2])
    sentence = refusal(*score_argv(there, out, "--workers", 2))
    assert sentence.startswith(f"capture {row.capture_id}: ")
    assert "truncated" in sentence
    lost.write_bytes(content)
    assert mfas(*score_argv(there, out, "--workers", 1)).json()["resumed"] >= 16
    assert left_over(tmp_path) == []


def test_parts_of_another_run_are_refused(manifest: Path, whole: Path, tmp_path: Path) -> None:
    out, folder = tmp_path / "scores.parquet", tmp_path / "scores.parquet.parts"
    there = copy(manifest, tmp_path / "site")
    lost = there.parent / read_manifest(there).row(24).rgb
    lost.rename(lost.with_suffix(".aside"))
    assert "not found" in refusal(*score_argv(there, out, "--workers", 1))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert len(before) == 7
    other_manifest = there.with_name("other.parquet")
    pq.write_table(pq.read_table(there).slice(1), other_manifest)
    other_model = tmp_path / "model"
    shutil.copytree(default_directory(), other_model)
    Card.read(other_model).model_copy(update={"licence": "other"}).write(other_model)
    refused = {
        "missing": score_argv(there, out, "--missing", "ir"),
        "batch": score_argv(there, out, "--batch", 5),
        "shard": score_argv(there, out, "--set", "shard=5"),
        "manifest": score_argv(other_manifest, out),
        "model": score_argv(there, out, "--model", other_model),
    }
    for name, argv in refused.items():
        assert f"parts of a run with another {name}: remove it or choose another --out" in refusal(*argv)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    lost.with_suffix(".aside").rename(lost)
    assert mfas(*score_argv(there, out, "--workers", 1)).json()["resumed"] == 24
    assert out.read_bytes() == whole.read_bytes()


def test_a_folder_of_somebody_else_is_left_alone(manifest: Path, tmp_path: Path) -> None:
    folder = tmp_path / "scores.parquet.parts"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    assert "run.json" in refusal(*score_argv(manifest, tmp_path / "scores.parquet"))
    assert (folder / "thesis.txt").read_text() == "years of work"


def test_a_model_in_eight_bits_is_a_file_of_its_own(manifest: Path, whole: Path, tmp_path: Path) -> None:
    model, out = tmp_path / "model", tmp_path / "scores.parquet"
    assert "mfas export with --int8 writes one" in refusal(*score_argv(manifest, out, "--precision", "int8"))
    shutil.copytree(default_directory(), model)
    (model / ONNX_FILE).rename(model / INT8_FILE)
    card = Card.read(model, verify=False)
    card.model_copy(update={"files": {INT8_FILE: sha256(model / INT8_FILE)}}).write(model)
    assert "mfas export writes one" in refusal(*score_argv(manifest, out, "--model", model))
    result = mfas(*score_argv(manifest, out, "--model", model, "--precision", "int8", "--workers", 1)).json()
    assert result["precision"] == "int8"
    assert out.read_bytes() == whole.read_bytes()  # the graph under that name is the same


def test_what_is_refused(manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.parquet"
    assert "named .parquet" in refusal(*score_argv(manifest, tmp_path / "scores.csv"))
    assert "leaves a modality" in refusal(*score_argv(manifest, out, "--missing", "rgb,depth,ir"))
    assert "out of rgb, depth, ir" in refusal(*score_argv(manifest, out, "--missing", "thermal"))
    assert "expected a value for 'manifest'" in refusal("score", "--out", out)
    assert "manifest not found" in refusal(*score_argv(tmp_path / "none.parquet", out))
    assert "YuNet file not found" in refusal(*score_argv(manifest, out, "--yunet", tmp_path / "none.onnx"))
    assert "found none" in refusal(*score_argv(manifest, out, "--model", tmp_path / "none"))
    assert "precision" in refusal(*score_argv(manifest, out, "--precision", "fp16"))
    (tmp_path / "empty.csv").write_text("rgb\n")
    assert "expected captures" in refusal(*score_argv(tmp_path / "empty.csv", out))
    assert left_over(tmp_path) == []


class Killer(threading.Thread):
    """Kills the first worker of Ray below this process that is seen at a task of scoring."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.killed: list[int] = []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set() and not self.killed:
            for child in psutil.Process().children(recursive=True):
                try:
                    if child.cmdline()[:1] == ["ray::_score"]:
                        child.kill()
                        self.killed.append(child.pid)
                        return
                except psutil.Error:
                    continue
            time.sleep(0.005)


def test_on_ray_the_same_bytes_though_a_worker_is_killed(manifest: Path, whole: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    out, killer = tmp_path / "scores.parquet", Killer()
    killer.start()
    result: dict[str, Any] = mfas(*score_argv(manifest, out, "--ray", "local", "--workers", 2)).json()
    killer.over.set()
    killer.join()
    assert killer.killed
    assert result["captures"] == COUNT
    assert out.read_bytes() == whole.read_bytes()
    assert left_over(tmp_path) == []


def test_no_cluster_at_an_address(manifest: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    sentence = refusal(*score_argv(manifest, tmp_path / "s.parquet", "--ray", "here:nowhere"))
    assert "expected a running Ray cluster at 'here:nowhere'" in sentence


def copy(manifest: Path, folder: Path) -> Path:
    shutil.copytree(manifest.parent, folder)
    return folder / manifest.name
