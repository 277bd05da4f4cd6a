"""What a method costs beside the unadapted model: time, taken in turn and without stored maps, and memory."""

from __future__ import annotations

import hashlib
import json
from copy import deepcopy
from statistics import median
from time import perf_counter
from typing import Any

import torch

from mfas._files import read_json, write_json
from mfas.adaptation.contract import Adapter
from mfas.adaptation.registry import create, is_offline
from mfas.benchmark.bench_captures import Captures, arrival_ids
from mfas.benchmark.bench_cell import Workbench
from mfas.benchmark.bench_cells import BENCH_VERSION, Cell, Grid
from mfas.benchmark.bench_config import BASELINE
from mfas.benchmark.stream import StreamItem, compose
from mfas.core import Batch

_VERSION = 2
_ROUNDS = 3
_BATCH = 10


def costs(grid: Grid, cells: list[Cell]) -> list[dict[str, Any]]:
    """Per model and method: ``relative`` = median over rounds of its rate over the baseline's in the same round.

    A method that needs the whole target at once has no rate; its seconds stand in its rows.
    ``state_mib`` is the size of all tensors that the method has to keep beside the source model: what it has moved,
    optimiser, memories, second models. Timed on the first of ``cells`` of each model, up to ``cost_captures`` of its
    stream; kept under ``OUT/cost``.
    """
    out: list[dict[str, Any]] = []
    bench = Workbench(grid)
    first = {cell.model: cell for cell in reversed(cells)}
    for model in grid.config.models:
        if model not in first or not grid.config.cost_captures:
            continue
        batches: list[Batch] = []
        for method in grid.config.methods:
            cell = next((c for c in cells if (c.model, c.method) == (model, method)), None)
            if method == BASELINE or is_offline(grid.config.method_of(method)) or cell is None:
                continue
            settings = grid.settings.get((model, method))
            content = [
                _VERSION,
                BENCH_VERSION,
                grid.key(first[model]),
                grid.key(cell),
                settings,
                grid.config.cost_captures,
            ]
            name = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]
            kept = grid.config.out / "cost" / f"{name}.json"
            if not kept.is_file():
                batches = batches or _batches(bench, first[model])
                try:
                    found = _cost(bench, cell, batches)
                except Exception:  # the method's cells already say why it fails
                    continue
                write_json(kept, found)
            out.append({"model": model, "method": method, **read_json(kept, "cost")})
    return out


def _batches(bench: Workbench, cell: Cell) -> list[Batch]:
    grid, captures = bench.grid, bench.captures(cell)
    order = grid.stream_sites(cell.target, cell.stream)
    items = compose(grid.recipes[cell.stream], captures.stream.columns(order, ()), cell.seed)
    chosen = [item for item in items if captures.at[captures.stream.rows[item.row]] >= 0][: grid.config.cost_captures]
    return [_batch(captures, chosen[i : i + _BATCH], i) for i in range(0, len(chosen), _BATCH)]


def _batch(captures: Captures, items: list[StreamItem], first: int) -> Batch:
    rows = captures.stream.rows[[item.row for item in items]]
    items = [StreamItem(item.row, presentation=item.presentation) for item in items]
    subjects = captures.manifest.column("subject")[rows].tolist()
    ids = arrival_ids(items, range(first, first + len(items)), subjects)
    return captures.batch(items, captures.stream, captures.present(items, rows, ()), ids)[0]


def _cost(bench: Workbench, cell: Cell, batches: list[Batch]) -> dict[str, Any]:
    torch.set_num_threads(1)
    _timed(bench, cell, BASELINE, batches[:2])
    found: list[float] = []
    for _ in range(_ROUNDS):
        plain, _ = _timed(bench, cell, BASELINE, batches)
        seconds, adapter = _timed(bench, cell, cell.method, batches)
        found.append(plain / seconds)
    size = sum(tensor.numel() * tensor.element_size() for tensor in adapter.state().tensors.values())
    return {"relative": median(found), "state_mib": size / 2**20}


def _timed(bench: Workbench, cell: Cell, row: str, batches: list[Batch]) -> tuple[float, Adapter]:
    model, card = bench.model(cell)
    plan = bench.grid.config.methods[row]
    adapter = create(bench.grid.config.method_of(row), deepcopy(model), card, plan.settings, cell.seed)
    start = perf_counter()
    for batch in batches:
        adapter.step(batch)
    return perf_counter() - start, adapter
