"""What a run will take, told before it starts: cells, trainings, hours; from measured rates where there are any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter
from typing import Any

import torch

from mfas._files import read_json
from mfas.benchmark.bench_captures import arrival_ids, noise_images
from mfas.benchmark.bench_cells import Cell, Grid
from mfas.benchmark.bench_checks import simulated
from mfas.benchmark.bench_config import BASELINE
from mfas.benchmark.bench_outcome import ROW_FILE
from mfas.benchmark.stream import StreamItem
from mfas.card import CARD_FILE
from mfas.core import MODALITIES, Batch
from mfas.data.manifest import read_manifest
from mfas.models.registry import create

SIMULATION_SECONDS = 0.04
"""Of one capture of a built-in site, by one process."""
TRAINING_FACTOR = 4.5
"""A training step over a prediction of the same capture, augmentation included."""
TRAIN_SHARE, PROBE_SHARE = 0.6, 0.4
"""Of a site's captures: what is trained on, and what is held out to be scored before and after a stream."""
_SAMPLE = 10
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """``cells`` of the grid, of which ``to_compute`` are not kept yet; ``rates`` by model and method.

    A rate is seconds per capture of a stream, ``measured`` in earlier cells, or estimated from the time of a plain
    prediction. Hours are of wall time with the workers of the configuration.
    """

    cells: int
    to_compute: int
    sites: int
    trainings: int
    simulation_hours: float
    training_hours: float
    cell_hours: float
    rates: tuple[dict[str, Any], ...]

    @property
    def estimated_hours(self) -> float:
        """Of the whole run."""
        return self.simulation_hours + self.training_hours + self.cell_hours

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe mapping."""
        return asdict(self) | {"rates": list(self.rates), "estimated_hours": self.estimated_hours}

    def sentence(self) -> str:
        """One line for people."""
        parts = [f"{self.to_compute} of {self.cells} cells to compute"]
        if self.sites:
            parts.append(f"{self.sites} sites to simulate ({_duration(self.simulation_hours)})")
        if self.trainings:
            parts.append(f"{self.trainings} source models to train ({_duration(self.training_hours)})")
        return f"{', '.join(parts)}; about {_duration(self.estimated_hours)} in all"


def plan_run(grid: Grid, cells: Sequence[Cell]) -> Plan:
    """Look at what is kept under ``out``, and estimate the rest."""
    config = grid.config
    counts = {name: _captures(grid, name) for name in config.site_names}
    sites = [n for n in config.site_names if n not in config.manifests and not simulated(config, n)]
    trainings = sorted({(c.model, c.sources, c.training_seed) for c in cells if not _trained(grid, c)})
    waiting = [cell for cell in cells if not kept(grid, cell)]
    plain = {model: _plain_seconds(grid, model) for model in dict.fromkeys(cell.model for cell in waiting)}
    rates = _rates(grid, waiting, plain)
    training = 0.0
    for model, sources, seed in trainings:
        epochs = config.training_of(model, sources, seed).loop.epochs
        images = epochs * TRAIN_SHARE * sum(counts[name] for name in sources)
        training += images * TRAINING_FACTOR * plain[model]
    busy = sum(_seconds(grid, cell, rates[cell.model, cell.method], plain, counts) for cell in waiting)
    return Plan(
        cells=len(cells),
        to_compute=len(waiting),
        sites=len(sites),
        trainings=len(trainings),
        simulation_hours=SIMULATION_SECONDS * sum(counts[name] for name in sites) / config.workers / 3600,
        training_hours=training / 3600,
        cell_hours=busy / config.workers / 3600,
        rates=tuple(
            {"model": model, "method": method, "seconds": seconds, "measured": measured}
            for (model, method), (seconds, measured) in rates.items()
        ),
    )


def kept(grid: Grid, cell: Cell) -> bool:
    """Whether an earlier run has finished the cell."""
    known = _trained(grid, cell) and all(grid.config.manifest_of(name).is_file() for name in grid.sites_read(cell))
    return known and (grid.folder(cell) / ROW_FILE).is_file()


def _trained(grid: Grid, cell: Cell) -> bool:
    return (grid.model_dir(cell) / CARD_FILE).is_file()


def _captures(grid: Grid, site: str) -> int:
    path = grid.config.manifests.get(site)
    return grid.config.sites.count if path is None else len(read_manifest(path, require_labels=True))


def _seconds(
    grid: Grid, cell: Cell, rate: tuple[float, bool], plain: Mapping[str, float], counts: Mapping[str, int]
) -> float:
    recipe = grid.recipes[cell.stream]
    seconds, measured = rate
    streamed = seconds * recipe.captures * recipe.passes
    if measured:  # whole cells were timed, probe included
        return streamed
    held_out = PROBE_SHARE * counts[cell.target]
    probe = min(held_out, grid.config.probe or held_out)
    return streamed + plain[cell.model] * probe * (1 + recipe.checkpoints)


def _rates(grid: Grid, cells: Iterable[Cell], plain: Mapping[str, float]) -> dict[tuple[str, str], tuple[float, bool]]:
    earlier: dict[tuple[str, str], list[float]] = {}
    for path in sorted(grid.config.out.glob(f"cells/*/{ROW_FILE}")):
        row = read_json(path, "row of the bench")
        if row.get("wall_seconds") and row.get("captures"):
            earlier.setdefault((row["model"], row["method"]), []).append(row["wall_seconds"] / row["captures"])
    out = {}
    for cell in cells:
        pair = (cell.model, cell.method)
        cost = 1.0 if cell.method == BASELINE else grid.config.methods[cell.method].cost
        out[pair] = (median(earlier[pair]), True) if pair in earlier else (cost * plain[cell.model], False)
    return out


def _plain_seconds(grid: Grid, model: str) -> float:
    """A prediction of one capture by the untrained model on one thread: the shortest of a few rounds of ten noises."""
    config = grid.config
    training = config.training_of(model, config.sources_of(config.targets[0]), config.training.seeds[0])
    network = create(training.model, training.preprocess, training.architecture).eval()
    images = [noise_images(training.preprocess, i) for i in range(_SAMPLE)]
    items = [StreamItem(i, presentation=i) for i in range(_SAMPLE)]
    ids = arrival_ids(items, range(_SAMPLE), [""] * _SAMPLE)
    stacked = {m: torch.stack([image[m] for image in images]) for m in MODALITIES}
    batch = Batch(stacked, torch.ones(_SAMPLE, len(MODALITIES), dtype=torch.bool), ids)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = []
        for _ in range(_ROUNDS):
            start = perf_counter()
            network.predict(batch)
            times.append(perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    return min(times) / _SAMPLE


def _duration(hours: float) -> str:
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{60 * hours:.0f} min" if hours >= 1 / 60 else f"{3600 * hours:.0f} s"
