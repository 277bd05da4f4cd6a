"""`mfas benchmark`: simulate, train and run what is missing, then write what was found."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from mfas._files import make_folder, read_json, write_json
from mfas.benchmark.bench_cells import Cell, Grid
from mfas.benchmark.bench_checks import check, check_trained, planned_site, simulated
from mfas.benchmark.bench_config import BenchConfig
from mfas.benchmark.bench_cost import costs
from mfas.benchmark.bench_outcome import ROW_FILE
from mfas.benchmark.bench_plan import kept, plan_run
from mfas.benchmark.bench_ray import attempt_on_ray, check_ray
from mfas.benchmark.bench_statistics import comparisons, summaries
from mfas.benchmark.bench_workers import attempt_all
from mfas.benchmark.bench_written import write_results
from mfas.benchmark.training_run import train
from mfas.card import CARD_FILE
from mfas.config import environment, write_resolved
from mfas.errors import ConfigError, MfasError
from mfas.simulation import SIMULATOR_VERSION, simulate

Advance = Callable[[int, int], None]


def run_bench(
    config: BenchConfig,
    progress: Advance | None = None,
    say: Callable[[str], None] | None = None,
    fresh: Sequence[str] = (),
) -> dict[str, Any]:
    """Run the grid; writes ``results.json``, tables, figures and ``report.html`` under ``out``.

    What an earlier run finished under ``out`` is used again: sites, source models and cells, but for the cells of the
    methods in ``fresh`` (rows of the tables), which are computed anew. A cell that fails becomes a row whose
    ``status`` says why, and is tried again next time. ``say`` is told what there is to do, and for how long, before it
    is done. Returns a JSON-safe summary. Raises `ConfigError` for a wrong configuration, before anything is simulated
    or trained.
    """
    start = perf_counter()
    grid = Grid(config)
    check(grid)
    for name in fresh:
        if name not in config.methods:
            raise ConfigError(f"expected a row to compute anew out of {', '.join(config.methods)}, got '{name}'")
    if config.ray:
        check_ray()
    make_folder(config.out)
    write_resolved(config, config.out, "benchmark")
    cells = list(grid.cells())
    _forget(grid, [cell for cell in cells if cell.method in fresh])
    plan = plan_run(grid, cells)
    if say is not None:
        say(f"benchmark: {plan.sentence()}")
    trainings = sorted({(cell.model, cell.sources, cell.training_seed) for cell in cells})
    jobs = _Jobs(len(config.site_names) + len(trainings) + len(cells), progress)
    _simulate(config, jobs)
    faults = _train(config, trainings, jobs)
    finished = _run(grid, cells, faults, jobs)
    rows = [_row(grid, done) for done in finished]
    found = comparisons(rows, config.out, config.draws, config.against)
    result: dict[str, Any] = {
        "runs": rows,
        "comparisons": found,
        "comparisons_summary": summaries(found, rows, config.out, config.draws),
        "cost": costs(grid, [done.cell for done in finished if done.folder is not None]),
        "plan": plan.to_dict() | _spent(rows, perf_counter() - start),
        "environment": environment() | {"simulator": SIMULATOR_VERSION},
    }
    write_json(config.out / "results.json", result)
    write_results(result, config)
    failed = [row["status"] for row in rows if row["status"] != "ok"]
    return {
        "results": str(config.out / "results.json"),
        "tables": str(config.out / "tables.md"),
        "report": str(config.out / "report.html"),
        "cells": len(cells),
        "computed": sum(done.computed for done in finished),
        "failed": len(failed),
        "estimated_hours": result["plan"]["estimated_hours"],
        "real_hours": result["plan"]["real_hours"],
    }


def _spent(rows: Iterable[dict[str, Any]], seconds: float) -> dict[str, float]:
    """Hours of this run, and of all cells shown, those of earlier runs included, as if one worker had run them."""
    return {"real_hours": seconds / 3600, "real_cell_hours": sum(row.get("wall_seconds", 0) for row in rows) / 3600}


def _forget(grid: Grid, cells: Iterable[Cell]) -> None:
    """Drop kept cells, and what was derived from kept cells: it is named by their hashes, which stay."""
    chosen = [cell for cell in cells if kept(grid, cell)]
    for cell in chosen:
        shutil.rmtree(grid.folder(cell))
    for name in ("differences", "cost") if chosen else ():
        shutil.rmtree(grid.config.out / name, ignore_errors=True)


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
    attempts = attempt_on_ray(grid, waiting) if grid.config.ray else attempt_all(grid, waiting, grid.config.workers)
    for cell, fault in attempts:
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
