"""A stream that is killed or stumbles goes on where it stopped and ends in the same bytes."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands import left_over, mfas, refusal
from mfas.data.manifest import read_manifest

EVERY_CAPTURE = ("--set", "batch_size=2", "--set", "checkpoint_every=1", "--set", "threads=1")


def adapt_argv(method: str, model_dir: Path, manifest: Path, out: Path) -> tuple[object, ...]:
    return ("adapt", "--model", model_dir, "--manifest", manifest, "--method", method, "--out", out, *EVERY_CAPTURE)


def cursor(out: Path) -> int:
    pointer = out / "unfinished" / "progress.json"
    return int(json.loads(pointer.read_text())["cursor"]) if pointer.is_file() else 0


def kill_after(argv: tuple[object, ...], out: Path, beyond: int, pause: float) -> bool:
    """Start a run, SIGKILL it ``pause`` seconds after it passed ``beyond`` captures; whether it was still running."""
    command = [sys.executable, "-m", "mfas", *map(str, argv)]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    limit = time.monotonic() + 60
    while run.poll() is None and cursor(out) <= beyond and time.monotonic() < limit:
        time.sleep(0.002)
    time.sleep(pause)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    return run.returncode == -signal.SIGKILL


@pytest.mark.parametrize("method", ["source", "mfas_danet"])
def test_killed_three_times_and_resumed(method: str, model_dir: Path, site: Path, tmp_path: Path) -> None:
    manifest, chance = site / "manifest.parquet", random.Random(method)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert mfas(*adapt_argv(method, model_dir, manifest, whole)).code == 0
    argv = adapt_argv(method, model_dir, manifest, broken)
    kills = 0
    for resume in ((), ("--resume",), ("--resume",)):
        kills += kill_after((*argv, *resume), broken, cursor(broken) + chance.randrange(8), chance.uniform(0, 0.03))
    assert kills == 3, "the run ended before it was killed"
    assert 0 < cursor(broken) < 60
    (broken / ".scores.0badf00d.part.parquet").write_bytes(b"PAR1")  # as a kill inside the last write leaves it
    assert "--resume" in refusal(*argv)
    result = mfas(*argv, "--resume", "--json").json()
    assert result["captures"] == 60
    for name in ("scores.parquet", "delta.safetensors"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name
    steps = [[json.loads(line) for line in (out / "steps.jsonl").open()] for out in (whole, broken)]
    for step in (*steps[0], *steps[1]):
        del step["seconds"]
    assert steps[0] == steps[1]
    assert left_over(broken) == []
    assert mfas(*argv, "--resume", "--json").json() == result, "a finished run only says what it found"


def test_a_run_of_another_kind_is_not_continued(model_dir: Path, site: Path, tmp_path: Path) -> None:
    argv = adapt_argv("source", model_dir, site / "manifest.parquet", tmp_path)
    assert kill_after(argv, tmp_path, 0, 0)
    assert "another model, manifest or configuration" in refusal(*argv, "--missing", "ir", "--resume")


def test_an_unreadable_image_stops_the_stream_and_loses_nothing(model_dir: Path, site: Path, tmp_path: Path) -> None:
    shutil.copytree(site, tmp_path / "site")
    manifest = tmp_path / "site" / "manifest.parquet"
    listed = read_manifest(manifest).in_arrival_order()
    image = listed.resolve(listed.row(35).rgb)
    intact = image.read_bytes()
    image.write_bytes(intact[:100])
    out = tmp_path / "out"
    argv = adapt_argv("mfas_danet", model_dir, manifest, out)
    assert image.name in refusal(*argv)
    assert cursor(out) == 34
    assert image.name in refusal(*argv, "--resume")
    assert cursor(out) == 34
    image.write_bytes(intact)
    assert mfas(*argv, "--resume").code == 0
    assert mfas(*adapt_argv("mfas_danet", model_dir, manifest, tmp_path / "whole")).code == 0
    assert (out / "scores.parquet").read_bytes() == (tmp_path / "whole" / "scores.parquet").read_bytes()
    assert left_over(out) == []
