"""One cell of the grid: one method, one stream, one missing pattern, one seed; and its probe before, during, after."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from mfas._files import make_folder, write_json, write_text
from mfas.adaptation.contract import AdaptedModel, StepReport
from mfas.adaptation.offline import FitReport, OfflineAdapter
from mfas.adaptation.registry import create, create_offline, is_offline
from mfas.benchmark.bench_captures import Captures, arrival_ids
from mfas.benchmark.bench_cells import Cell, Grid
from mfas.benchmark.bench_config import BASELINE
from mfas.benchmark.bench_maps import SCORE_BATCH, Served, StoredMaps, moves_lower, source_predictions
from mfas.benchmark.bench_offline import Arriving, LabelledSource
from mfas.benchmark.bench_outcome import (
    PROBE_FILE,
    ROW_FILE,
    Answers,
    answered,
    probe_fields,
    probe_figures,
    pseudo_fields,
)
from mfas.benchmark.progress import SCORES_FILE, STEPS_FILE
from mfas.benchmark.results import run_row
from mfas.benchmark.stream import StreamItem, arrivals, compose, truth
from mfas.card import Card
from mfas.core import Modality, parse_modalities
from mfas.data.scores import write_scores
from mfas.models.contract import FasModel, Maps
from mfas.models.store import load_model

FIT_FILE = "fit.json"
Value = TypeVar("Value")


class Workbench:
    """What one process keeps between cells: decoded captures, source models, their maps and unadapted scores."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self._kept: dict[str, dict[Hashable, Any]] = {}

    def model(self, cell: Cell) -> tuple[FasModel, Card]:
        """The source model; not to be changed."""
        folder = self.grid.model_dir(cell)
        return self._keep("model", folder, 2, lambda: load_model(folder))

    def captures(self, cell: Cell) -> Captures:
        """Captures of the cell's stream and probe."""
        config = self.grid.config
        sites = self.grid.stream_sites(cell.target, cell.stream)
        spec = self.model(cell)[1].preprocess
        paths = {name: config.manifest_of(name) for name in sites}
        key = (cell.target, frozenset(sites), spec)
        return self._keep("captures", key, 2, lambda: Captures(paths, cell.target, sites, spec, config.probe))

    def maps(self, cell: Cell) -> StoredMaps:
        """Lower maps of these captures."""
        return self._keep("maps", self._place(cell), 2, lambda: StoredMaps(self.model(cell)[0], self.captures(cell)))

    def unadapted(self, cell: Cell, missing: tuple[Modality, ...]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Scores and presence of the source model, per row of `Captures.manifest`."""
        model, captures, maps = self.model(cell)[0], self.captures(cell), self.maps(cell)
        key = (*self._place(cell), missing)
        return self._keep("unadapted", key, 16, lambda: source_predictions(model, captures, maps, missing))

    def may_serve(self, cell: Cell, adapted: frozenset[str]) -> bool:
        """Whether stored maps stay right while ``adapted`` parameters move."""
        model, captures = self.model(cell)[0], self.captures(cell)
        sample = captures.tensors.batch(range(min(2, len(captures.tensors))))
        key = (self.grid.model_dir(cell), adapted)
        return self._keep("serve", key, 64, lambda: not moves_lower(model, adapted, sample))

    def labelled(self, cell: Cell, most: int) -> LabelledSource:
        """Labelled captures of the cell's sources, for an offline method that needs them."""
        spec, paths = self.model(cell)[1].preprocess, [self.grid.config.manifest_of(name) for name in cell.sources]
        key = (cell.sources, spec, most, cell.seed)
        return self._keep("labelled", key, 1, lambda: LabelledSource(paths, spec, most, cell.seed))

    def _place(self, cell: Cell) -> tuple[Path, str, frozenset[str]]:
        return self.grid.model_dir(cell), cell.target, frozenset(self.grid.stream_sites(cell.target, cell.stream))

    def _keep(self, kind: str, key: Hashable, most: int, make: Callable[[], Value]) -> Value:
        kept = self._kept.setdefault(kind, {})
        if key not in kept:
            while len(kept) >= most:
                del kept[next(iter(kept))]
            kept[key] = make()
        value: Value = kept[key]
        return value


@dataclass(slots=True)
class _Ran:
    """What a stream left behind."""

    answers: Answers
    reports: list[StepReport]
    checkpoints: list[dict[str, Any]]
    probe: NDArray[np.float64]
    batch_independent: bool
    fit: FitReport | None = None


def run_cell(bench: Workbench, cell: Cell, folder: Path) -> None:
    """Run a cell and write ``scores.parquet``, ``probe.parquet``, ``steps.jsonl`` and, last, ``row.json``.

    An offline method is fitted on the whole stream, which is then scored; what it did stands in ``fit.json``.
    """
    start = perf_counter()
    grid, (_, card) = bench.grid, bench.model(cell)
    threshold = card.threshold(cell.missing)
    recipe, captures = grid.recipes[cell.stream], bench.captures(cell)
    missing = tuple(sorted({*parse_modalities(cell.missing), *card.unknown_modalities()}))
    score, present = bench.unadapted(cell, missing)
    order = grid.stream_sites(cell.target, cell.stream)
    known = np.nan_to_num(score[captures.stream.rows], nan=0.0)
    items = compose(recipe, captures.stream.columns(order, missing, known), cell.seed)
    if grid.config.method_of(cell.method) == BASELINE and not any(item.edit for item in items):
        ran = _unadapted(bench, cell, items, missing)
    else:
        ran = _adapted(bench, cell, items, missing)
    labels = captures.manifest.column("label")[captures.stream.rows]
    truths = [truth(item, str(labels[item.row])) for item in items]
    scores = ran.answers.table(captures, items, truths, cell)
    probe = captures.probe.rows
    before = probe_figures(captures, score[probe], present[probe], cell, threshold)
    after, table = probe_figures(captures, ran.probe, present[probe], cell, threshold, with_table=True)
    seconds = ran.fit.seconds if ran.fit else sum(report.seconds for report in ran.reports)
    facts = {
        **cell.facts(grid.config),
        "batch_size": recipe.batch_size,
        "batch_independent": ran.batch_independent,
        "transductive": ran.fit is not None,
        "captures": len(items),
        "steps_taken": ran.fit.steps if ran.fit else sum(report.updated for report in ran.reports),
        "seconds": seconds,
        "captures_per_second": len(items) / seconds if seconds else None,
        **pseudo_fields(ran.reports, truths),
        **probe_fields(before, ran.checkpoints, after),
    }
    make_folder(folder)
    write_scores(scores, folder / SCORES_FILE)
    write_scores(table, folder / PROBE_FILE)
    write_text(folder / STEPS_FILE, "".join(json.dumps(r.to_dict(), allow_nan=False) + "\n" for r in ran.reports))
    if ran.fit:
        write_json(folder / FIT_FILE, ran.fit.to_dict())
    row = run_row(scores, threshold, facts, draws=grid.config.draws)
    write_json(folder / ROW_FILE, row | {"wall_seconds": perf_counter() - start})


def _unadapted(bench: Workbench, cell: Cell, items: Sequence[StreamItem], missing: tuple[Modality, ...]) -> _Ran:
    """The baseline needs no stream: its score of a capture is the same whenever it comes."""
    captures = bench.captures(cell)
    answers = Answers(len(items))
    for place, item in enumerate(items):
        score, present = bench.unadapted(cell, tuple(sorted({*missing, *item.drop})))
        row = captures.stream.rows[item.row]
        answers.score[place], answers.present[place] = score[row], present[row]
    steps = arrivals(items, np.flatnonzero(answers.present.any(axis=1)), bench.grid.recipes[cell.stream])
    reports = []
    for number, (places, _) in enumerate(steps):
        answers.step[places] = number
        reports.append(StepReport(step=number, seen=len(places), skipped_reason="source never learns"))
    probe = bench.unadapted(cell, missing)[0][captures.probe.rows]
    return _Ran(answers, reports, [], probe, True)


def _adapted(bench: Workbench, cell: Cell, items: Sequence[StreamItem], missing: tuple[Modality, ...]) -> _Ran:
    grid, (source, card), captures = bench.grid, bench.model(cell), bench.captures(cell)
    recipe = grid.recipes[cell.stream]
    model = deepcopy(source)
    served = Served(model)
    plan = grid.config.methods[cell.method]
    method = grid.config.method_of(cell.method)
    make = create_offline if is_offline(method) else create
    adapter = make(method, model, card, plan.settings, cell.seed)
    # Stored maps are those of a capture on its own: not what a method that looks at the whole batch would see.
    serve = adapter.batch_independent and bench.may_serve(cell, adapter.adapted_parameters)
    stored = bench.maps(cell) if serve else None
    probe = _Probe(bench, cell, missing, adapter, served, stored)
    rows = captures.stream.rows[[item.row for item in items]]
    present = captures.present(items, rows, missing)
    subjects = captures.manifest.column("subject")[rows].tolist()
    heard = np.flatnonzero(present.any(dim=1).numpy())
    answers = Answers(len(items))
    fit: FitReport | None = None
    if isinstance(adapter, OfflineAdapter):
        source_of = bench.labelled(cell, adapter.source_captures) if adapter.needs_source else None
        fit = adapter.fit(Arriving(captures, items, present, subjects, heard), source_of)
    steps = arrivals(items, heard, recipe)
    stops = {round(len(steps) * k / (recipe.checkpoints + 1)) for k in range(1, recipe.checkpoints + 1)}
    reports: list[StepReport] = []
    checkpoints: list[dict[str, Any]] = []
    threshold = card.threshold(cell.missing)
    for number, (places, anew) in enumerate(steps):
        if anew:
            adapter.reset()
        some = [items[i] for i in places]
        ids = arrival_ids(some, places.tolist(), [subjects[i] for i in places])
        batch, edited = captures.batch(some, captures.stream, present[places], ids)
        if stored is not None:
            maps: Maps = stored.take(captures.at[rows[places]].tolist(), present[places])
            if edited.any():
                maps = served.computed(batch, maps, edited)
            served.offer(batch, maps)
        if isinstance(adapter, OfflineAdapter):
            answers.take(places, adapter.predict(batch), number)
            continue
        prediction, report = adapter.step(batch)
        answers.take(places, prediction, number)
        reports.append(report)
        if number + 1 in stops:
            figures = probe_figures(captures, probe.scores(reports), probe.present, cell, threshold)
            updates = sum(r.updated for r in reports)
            checkpoints.append({"captures": int(places[-1]) + 1, "updates": updates, **figures})
    return _Ran(answers, reports, checkpoints, probe.scores(reports), adapter.batch_independent, fit)


class _Probe:
    """Scores of the held-out captures, from the adapter as it is."""

    def __init__(
        self,
        bench: Workbench,
        cell: Cell,
        missing: tuple[Modality, ...],
        adapter: AdaptedModel,
        served: Served,
        stored: StoredMaps | None,
    ) -> None:
        self._captures, self._adapter, self._served, self._stored = bench.captures(cell), adapter, served, stored
        rows = self._captures.probe.rows
        score, present = bench.unadapted(cell, missing)
        self.present = present[rows]
        self._last = score[rows]
        self._known = adapter.starts_as_source
        self._delta = adapter.delta()
        self._updates = 0

    def scores(self, reports: Sequence[StepReport]) -> NDArray[np.float64]:
        """Per row of the probe, NaN = no answer. Nothing is computed anew if nothing has moved since the last call."""
        delta, updates = self._adapter.delta(), sum(report.updated for report in reports)
        still = updates == self._updates and all(torch.equal(x, self._delta[name]) for name, x in delta.items())
        if not (still and self._known):
            self._last = self._predict()
        self._delta, self._updates, self._known = delta, updates, self._adapter.batch_independent
        return self._last

    def _predict(self) -> NDArray[np.float64]:
        captures = self._captures
        rows = captures.probe.rows
        out = np.full(len(rows), np.nan)
        heard = np.flatnonzero(self.present.any(axis=1))
        for start in range(0, len(heard), SCORE_BATCH):
            places = heard[start : start + SCORE_BATCH]
            items = [StreamItem(int(i), presentation=int(i)) for i in places]
            here = torch.from_numpy(self.present[places])
            ids = arrival_ids(items, places.tolist(), [""] * len(items))
            batch, _ = captures.batch(items, captures.probe, here, ids)
            if self._stored is not None:
                self._served.offer(batch, self._stored.take(captures.at[rows[places]].tolist(), here))
            out[places] = answered(self._adapter.predict(batch))
        return out
