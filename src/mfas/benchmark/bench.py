"""`mfas benchmark`: simulate, train and run what is missing, then write the tables."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mfas._files import make_folder, read_json, write_json, write_text
from mfas.benchmark.bench_cells import Cell, Grid
from mfas.benchmark.bench_checks import check, check_trained, planned_site, simulated
from mfas.benchmark.bench_config import BenchConfig
from mfas.benchmark.bench_cost import costs
from mfas.benchmark.bench_outcome import ROW_FILE
from mfas.benchmark.bench_statistics import comparisons, summaries
from mfas.benchmark.bench_tables import as_csv, markdown, tables
from mfas.benchmark.bench_workers import attempt_all
from mfas.benchmark.training_run import train
from mfas.card import CARD_FILE
from mfas.config import environment, write_resolved
from mfas.errors import MfasError
from mfas.simulation import SIMULATOR_VERSION, simulate

Advance = Callable[[int, int], None]


def run_bench(config: BenchConfig, progress: Advance | None = None) -> dict[str, Any]:
    """Run the grid; writes ``results.json``, ``tables.md`` and ``tables.csv`` under ``out``.

    What an earlier run finished under ``out`` is used again: sites, source models and cells. A cell that fails becomes
    a row whose ``status`` says why, and is tried again next time. Returns a JSON-safe summary. Raises `ConfigError` for
    a wrong configuration, before anything is simulated or trained.
    """
    grid = Grid(config)
    check(grid)
    make_folder(config.out)
    write_resolved(config, config.out, "benchmark")
    cells = list(grid.cells())
    trainings = sorted({(cell.model, cell.sources, cell.training_seed) for cell in cells})
    jobs = _Jobs(len(config.site_names) + len(trainings) + len(cells), progress)
    _simulate(config, jobs)
    faults = _train(config, trainings, jobs)
    finished = _run(grid, cells, faults, jobs)
    rows = [_row(grid, done) for done in finished]
    found = comparisons(rows, config.out, config.draws)
    result = {
        "runs": rows,
        "comparisons": found,
        "comparisons_summary": summaries(found),
        "cost": costs(grid, [done.cell for done in finished if done.folder is not None]),
        "environment": environment() | {"simulator": SIMULATOR_VERSION},
    }
    write_json(config.out / "results.json", result)
    write_text(config.out / "tables.md", markdown(tables(result)))
    write_text(config.out / "tables.csv", as_csv(tables(result)))
    failed = [row["status"] for row in rows if row["status"] != "ok"]
    return {
        "results": str(config.out / "results.json"),
        "tables": str(config.out / "tables.md"),
        "cells": len(cells),
        "computed": sum(done.computed for done in finished),
        "failed": len(failed),
    }


@dataclass(frozen=True, slots=True)
class _Done:
    """A cell that was dealt with: where it is kept (None = its model failed), what went wrong, whether it ran now."""

    cell: Cell
    folder: Path | None
    fault: str = ""
    computed: bool = False


class _Jobs:
    """One count over sites, trainings and cells."""

    def __init__(self, total: int, progress: Advance | None) -> None:
        self._total, self._progress, self._done = total, progress, 0

    def finished(self, count: int = 1) -> None:
        """So many more are done."""
        self._done += count
        if self._progress is not None:
            self._progress(self._done, self._total)


def _simulate(config: BenchConfig, jobs: _Jobs) -> None:
    for name in config.site_names:
        if name not in config.manifests and not simulated(config, name):
            plan = config.sites
            out = config.manifest_of(name).parent
            simulate(planned_site(config, name), count=plan.count, seed=plan.seed, out=out, workers=config.workers)
        jobs.finished()


Training = tuple[str, tuple[str, ...], int]


def _train(config: BenchConfig, trainings: Iterable[Training], jobs: _Jobs) -> dict[Training, str]:
    """Train what is not there yet; returns what went wrong, by training."""
    faults: dict[Training, str] = {}
    for model, sources, seed in trainings:
        training = config.training_of(model, sources, seed)
        try:
            if not (training.out / CARD_FILE).is_file():
                train(training)
            check_trained(training, sources)
        except (MfasError, RuntimeError, ValueError) as reason:
            faults[model, sources, seed] = f"failed: no source model: {type(reason).__name__}: {reason}"
        jobs.finished()
    return faults


def _run(grid: Grid, cells: list[Cell], faults: dict[Training, str], jobs: _Jobs) -> list[_Done]:
    done: dict[Cell, _Done] = {}
    waiting: list[tuple[Cell, Path]] = []
    for cell in cells:
        fault = faults.get((cell.model, cell.sources, cell.training_seed), "")
        if fault:
            done[cell] = _Done(cell, None, fault)
            continue
        folder = grid.folder(cell)
        if (folder / ROW_FILE).is_file():
            done[cell] = _Done(cell, folder)
        else:
            waiting.append((cell, folder))
    jobs.finished(len(done))
    folder_of = dict(waiting)
    torch.set_num_threads(1)
    for cell, fault in attempt_all(grid, waiting, grid.config.workers):
        folder = folder_of[cell]
        done[cell] = _Done(cell, folder, fault, computed=True)
        if fault:
            shutil.rmtree(folder, ignore_errors=True)
        jobs.finished()
    return [done[cell] for cell in cells]


def _row(grid: Grid, done: _Done) -> dict[str, Any]:
    if done.folder is not None and not done.fault:
        row: dict[str, Any] = read_json(done.folder / ROW_FILE, "row of the bench")
        return row | {"cell": done.folder.name}
    return {**done.cell.facts(grid.config), "cell": None, "status": done.fault}
