"""Cells over the workers of a Ray cluster: the plan, the cells and their files are those of a run without it.

Every worker reads and writes the folder ``out`` (and manifests, plug-ins, the folder where the bench was started) under
the same path, so on several machines these lie on a shared file system, and each machine has the same mfas installed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch

from mfas._extras import needs
from mfas._ray import LOCAL, RETRIES, connected
from mfas.benchmark.bench_cell import Workbench
from mfas.benchmark.bench_cells import Cell, Grid
from mfas.benchmark.bench_config import BenchConfig
from mfas.benchmark.bench_outcome import ROW_FILE
from mfas.benchmark.bench_workers import Job, attempt


def check_ray() -> None:
    """Raise `MissingExtraError` where Ray is not installed."""
    with needs("a benchmark on a Ray cluster"):
        import ray  # noqa: F401


def attempt_on_ray(grid: Grid, jobs: list[Job]) -> Iterator[tuple[Cell, str]]:
    """Run every job; yields each cell as it ends, with ``""`` or a sentence that says how it failed.

    ``ray: local`` starts Ray on this machine with as many workers as the configuration has, each with one thread; any
    other address is that of a running cluster (``auto`` = the one of this machine), whose processors say how many cells
    run at once. A worker that dies takes down no cell but its own, which another worker tries again.
    """
    with needs("a benchmark on a Ray cluster"):
        import ray

    with redirect_stdout(sys.stderr):  # Ray's news about workers; standard output is for the result
        yield from _attempted(ray, grid, jobs)


def _attempted(ray: Any, grid: Grid, jobs: list[Job]) -> Iterator[tuple[Cell, str]]:
    config = grid.config
    with connected(ray, config.ray or LOCAL, config.workers):
        run = ray.remote(num_cpus=1, max_retries=RETRIES)(_attempt)
        text = json.dumps(config.model_dump(mode="json"))
        waiting = {run.remote(text, str(Path.cwd()), cell, str(folder)): cell for cell, folder in jobs}
        while waiting:
            (done,), _ = ray.wait(list(waiting), num_returns=1)
            cell = waiting.pop(done)
            try:
                yield cell, ray.get(done)
            except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError):
                yield cell, "failed: the process that ran it died"
            except ray.exceptions.RayError as reason:
                yield cell, f"failed: {type(reason).__name__}: {str(reason).strip().splitlines()[-1]}"


_HERE: dict[str, Workbench] = {}


def _attempt(config: str, here: str, cell: Cell, folder: str) -> str:
    """One cell in this worker, which keeps its captures and models for the next one of the same bench.

    Relative paths of the configuration are from ``here``, where the bench was started.
    """
    os.chdir(here)
    torch.set_num_threads(1)
    if config not in _HERE:
        _HERE.clear()
        _HERE[config] = Workbench(Grid(BenchConfig.model_validate_json(config)))
    if (Path(folder) / ROW_FILE).is_file():  # finished by a worker that died before it could say so
        return ""
    return attempt(_HERE[config], cell, Path(folder))
