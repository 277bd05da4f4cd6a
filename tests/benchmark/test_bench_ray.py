"""The bench on Ray: the same cells as without it, and a worker that dies costs none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from benches import run

pytest.importorskip("ray")

DEADLY = '''
"""The source model; the first worker to run it is killed in the middle of the stream."""

import os
import signal
from pathlib import Path

from mfas.adaptation.registry import register
from mfas.adaptation.source import Source


@register("deadly")
class Deadly(Source):
    def step(self, batch):
        marker = Path({marker!r})
        if self._step and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(batch)
'''
TIMES = ("seconds", "captures_per_second", "wall_seconds")


def told(out: Path, method: str) -> list[dict[str, Any]]:
    rows = json.loads((out / "results.json").read_text())["runs"]
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows if row["method"] == method]


def test_cells_are_those_of_the_serial_run_and_a_killed_worker_costs_none(
    finished: Path, given: dict[str, Any], own_registry: None, tmp_path: Path
) -> None:
    plugin, marker, out = tmp_path / "deadly.py", tmp_path / "killed", tmp_path / "out"
    plugin.write_text(DEADLY.replace("{marker!r}", repr(str(marker))))
    shutil.copytree(finished / "models", out / "models")
    methods = {**given["methods"], "deadly": {}}
    changes = {"methods": methods, "plugins": [str(plugin)], "workers": 2, "ray": "local", "cost_captures": 0}
    summary = run({**given, "out": str(out)}, tmp_path, **changes)
    assert (summary["computed"], summary["failed"]) == (32, 0)
    assert marker.exists()
    for method in given["methods"]:
        rows = told(out, method)
        assert rows == told(finished, method)
        for row in rows:
            scores = [(folder / "cells" / row["cell"] / "scores.parquet").read_bytes() for folder in (out, finished)]
            assert scores[0] == scores[1]
    deadly = told(out, "deadly")
    assert {row["status"] for row in deadly} == {"ok"}
    assert [row["hter"] for row in deadly] == [row["hter"] for row in told(out, "source")]
