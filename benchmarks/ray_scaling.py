"""Two Ray workers against one, on the same independent cells of a bench, one thread each.

``python benchmarks/ray_scaling.py BENCH.yaml [ROUNDS]`` first runs the bench, so that sites, models and every cell are
there, then computes all cells again into folders that are thrown away: with one worker and with two, in turn, on
workers that have loaded everything before. Prints JSON; ``speed_up`` is the median over rounds of the time with one
over the time with two.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import ray

from mfas.benchmark.bench import run_bench
from mfas.benchmark.bench_cells import Cell, Grid
from mfas.benchmark.bench_checks import check
from mfas.benchmark.bench_config import BASELINE, BenchConfig
from mfas.benchmark.bench_ray import attempt_on_ray


def main(file: Path, rounds: int) -> None:
    config = BenchConfig.resolve(file, given={"workers": 1, "ray": "local"})
    run_bench(config)
    grid = Grid(config)
    check(grid)
    cells = list(grid.cells())
    # the baseline's cells load captures, models and maps, and are cheap: they warm the workers
    warm = [cell for cell in cells if cell.method == BASELINE]
    busy = [cell for cell in cells if cell.method != BASELINE]
    found = [(seconds(grid, warm, busy, 1), seconds(grid, warm, busy, 2)) for _ in range(rounds)]
    result = {
        "cells": len(busy),
        "rounds": rounds,
        "seconds_with_one": median(one for one, _ in found),
        "seconds_with_two": median(two for _, two in found),
        "speed_up": median(one / two for one, two in found),
    }
    print(json.dumps(result, indent=2))


def seconds(grid: Grid, warm: list[Cell], busy: list[Cell], workers: int) -> float:
    ray.init(num_cpus=workers, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
    try:
        with TemporaryDirectory() as folder:
            for number in range(workers):
                compute(grid, warm, Path(folder) / f"warm_{number}")
            start = perf_counter()
            compute(grid, busy, Path(folder) / "busy")
            return perf_counter() - start
    finally:
        ray.shutdown()


def compute(grid: Grid, cells: list[Cell], folder: Path) -> None:
    for cell, fault in attempt_on_ray(grid, [(cell, folder / grid.key(cell)) for cell in cells]):
        if fault:
            raise SystemExit(f"{cell}: {fault}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3)
