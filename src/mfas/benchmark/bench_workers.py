"""Cells over processes; whatever happens to one cell, the others go on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread

import torch

from mfas._files import make_folder
from mfas.benchmark.bench_cell import Workbench, run_cell
from mfas.benchmark.bench_cells import Cell, Grid
from mfas.benchmark.bench_config import BenchConfig

Job = tuple[Cell, Path]
_STARTED = "started"


def attempt_all(grid: Grid, jobs: list[Job], workers: int) -> Iterator[tuple[Cell, str]]:
    """Run every job; yields each cell as it ends, with ``""`` or a sentence that says how it failed.

    With several workers a process that dies takes down the cells it was busy with, and no others. With one, cells run
    in this process.
    """
    if workers == 1:
        bench = Workbench(grid)
        for cell, folder in jobs:
            yield cell, attempt(bench, cell, folder)
        return
    waiting = jobs
    while waiting:
        left = dict(waiting)
        for cell, fault in _pooled(grid, waiting, workers):
            del left[cell]
            yield cell, fault
        fallen = [cell for cell, folder in left.items() if (folder / _STARTED).exists()]
        for cell in fallen or list(left):
            del left[cell]
            yield cell, "failed: the process that ran it died"
        waiting = list(left.items())


def attempt(bench: Workbench, cell: Cell, folder: Path) -> str:
    """Run one cell; ``""``, or what went wrong. A bug in a method is that method's row, not the end of the grid."""
    make_folder(folder)
    (folder / _STARTED).touch()
    try:
        run_cell(bench, cell, folder)
    except Exception as reason:
        return f"failed: {type(reason).__name__}: {reason}"
    finally:
        (folder / _STARTED).unlink(missing_ok=True)
    return ""


def _pooled(grid: Grid, jobs: list[Job], workers: int) -> Iterator[tuple[Cell, str]]:
    """Until all are done or the pool breaks."""
    for _, folder in jobs:
        (folder / _STARTED).unlink(missing_ok=True)
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin, initargs=(grid.config,)) as pool:
        futures: dict[Future[str], Cell] = {pool.submit(_attempt_here, *job): job[0] for job in jobs}
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except BrokenProcessPool:
                return


_HERE: list[Workbench] = []


def _begin(config: BenchConfig) -> None:
    Thread(target=_end_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    _HERE[:] = [Workbench(Grid(config))]


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _attempt_here(cell: Cell, folder: Path) -> str:
    return attempt(_HERE[0], cell, folder)
