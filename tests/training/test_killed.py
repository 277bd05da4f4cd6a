"""`mfas train`, killed and resumed, ends in the same bytes; a learning rate beyond reason ends in one sentence."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from commands import left_over, mfas, refusal

SMALL = ("--set", "preprocess.size=32", "--set", "batch_size=8", "--set", "threads=1", "--set", "loop.epochs=12")


def epochs_kept(out: Path) -> int:
    record = out / "unfinished" / "checkpoint.json"
    return int(json.loads(record.read_text())["epochs"]) if record.is_file() else 0


def test_killed_and_resumed(lesson: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    argv = ("train", "--manifest", lesson, "--model", "mfas_danet", *SMALL)
    assert mfas(*argv, "--out", whole).code == 0
    command = [sys.executable, "-m", "mfas", *map(str, argv), "--out", str(broken)]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    limit = time.monotonic() + 120
    while run.poll() is None and epochs_kept(broken) < 2 and time.monotonic() < limit:
        time.sleep(0.002)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert run.returncode == -signal.SIGKILL
    assert 2 <= epochs_kept(broken) < 12
    assert "--resume" in refusal(*argv, "--out", broken)
    assert "another model" in refusal(*argv, "--out", broken, "--resume", "--seed", 4)
    assert mfas(*argv, "--out", broken, "--resume", "--json").json()["epochs"] == 12
    assert (broken / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert (broken / "card.json").read_bytes() == (whole / "card.json").read_bytes()
    assert left_over(broken) == []


def test_a_training_that_diverges_says_so_in_one_sentence(lesson: Path, tmp_path: Path) -> None:
    argv = ("train", "--manifest", lesson, *SMALL, "--set", "loop.learning_rate=1e30", "--out", tmp_path)
    said = refusal(*argv)
    assert "training diverged at step 1 of epoch 0: expected a finite loss" in said
    assert "there is no checkpoint yet" in said
    assert len(json.loads((tmp_path / "unfinished" / "diverged.json").read_text())["captures"]) == 8
