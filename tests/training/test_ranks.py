"""Two processes under torchrun learn what one does from the doubled batch; what they exchange lies on the device."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

import train_both
from mfas.card import Card
from mfas.training.ranks import Ranks

SOURCE = Path(__file__).parents[2] / "src"


def history(folder: Path, model: str) -> list[float]:
    return [value for line in Card.read(folder / model).training["history"] for value in line]


def run(command: list[str], environment: dict[str, str]) -> None:
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.wait(timeout=120) == 0, process.communicate()[1]
    finally:
        with contextlib.suppress(ProcessLookupError):  # no process outlives a failed test
            os.killpg(process.pid, signal.SIGKILL)


def test_two_processes_and_one_with_the_doubled_batch(lesson: Path, tmp_path: Path) -> None:
    source = os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": source}
    launch = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    two, one = tmp_path / "two", tmp_path / "one"
    train_both.main(lesson, one, 8)
    run([*launch, train_both.__file__, str(lesson), str(two), "4"], environment)
    for model in ("late_fusion", "mfas_danet"):
        assert history(two, model) == pytest.approx(history(one, model), rel=2e-4)


class BetweenDevices:
    """As Fabric over NCCL: only what lies on the device can be exchanged."""

    def to_device(self, values: Tensor) -> Tensor:
        self.moved = values
        return values.to("meta")

    def all_gather(self, values: Tensor) -> Tensor:
        assert values.device.type == "meta"
        return torch.stack([self.moved, self.moved])


def test_what_is_gathered_goes_over_the_device_and_comes_back() -> None:
    ranks = Ranks()
    ranks.world, ranks.fabric = 2, BetweenDevices()
    state = torch.get_rng_state()
    assert torch.equal(ranks.gather(state), torch.stack([state, state]))
