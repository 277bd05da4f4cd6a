"""`mfas demo`: the main job end to end on simulated sites, small enough for two cores and ten minutes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from pydantic import Field, model_validator

from mfas._files import make_folder, write_json
from mfas.adaptation.registry import parse_settings
from mfas.benchmark.adaptation_run import AdaptConfig, adapt
from mfas.benchmark.progress import SCORES_FILE, read_steps
from mfas.benchmark.pseudo_labels import judge_pseudo_labels, with_truth
from mfas.benchmark.results import run_row, score_group, with_differences
from mfas.benchmark.tiles import pick_tiles
from mfas.benchmark.training_run import TrainConfig, train
from mfas.card import Card
from mfas.config import Config, environment, parse, write_resolved
from mfas.core import MISSING_PATTERNS
from mfas.data.manifest import Manifest, read_manifest
from mfas.data.scores import ScoreTable, read_scores, write_scores
from mfas.models.registry import model_class
from mfas.report.data import ReportData, Timeline
from mfas.report.page import write_report
from mfas.simulation import SIMULATOR_VERSION, load_site, simulate

PROTOCOL = "demo"


class DemoConfig(Config):
    """Configuration of `mfas demo`; the sites are built-in names or YAML files."""

    out: Path = Path("demo")
    seed: int = Field(0, ge=0)
    sources: tuple[str, ...] = Field(("office", "kiosk", "phone"), min_length=1)
    target: str = "gate"
    source_captures: int = Field(1000, ge=30)
    target_captures: int = Field(600, ge=10)
    model: str = "mfas_danet"
    methods: tuple[str, ...] = ("source", "mfas_danet")
    missing: tuple[str, ...] = MISSING_PATTERNS
    settings: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict, description="keys of `mfas train`, such as loop.epochs")
    batch_size: int = Field(10, ge=1)
    workers: int = Field(2, ge=1)
    threads: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _held_out(self) -> DemoConfig:
        if self.target in self.sources:
            raise ValueError(f"expected a target that is not among the sources, got '{self.target}'")
        if "source" not in self.methods:
            raise ValueError("expected 'source' among the methods: it is what the others are compared with")
        return self


@dataclass(frozen=True, slots=True)
class _Run:
    method: str
    missing: str
    folder: Path
    summary: Mapping[str, Any]


def run_demo(config: DemoConfig, say: Callable[[str], None]) -> dict[str, Any]:
    """Simulate, train on the sources, adapt to the target under every pattern, evaluate, report.

    Writes ``report.html``, ``results.json``, ``scores.parquet`` and everything they were made from under ``out``.
    ``say`` gets one line per stage. Returns a JSON-safe summary.
    """
    start = perf_counter()
    training = _training(config)
    plans = [_plan(config, method, missing) for missing in config.missing for method in config.methods]
    make_folder(config.out)
    manifests = {name: _simulated(name, config, say) for name in (*config.sources, config.target)}
    say(f"training {config.model} on {', '.join(config.sources)}")
    model_dir = training.out
    trained = train(training)
    say(f"  {trained['epochs']} epochs, {trained['captures_per_second']:.0f} captures a second")
    runs = [_adapt(plan, say) for plan in plans]
    rows, tables = _evaluate(config, Card.read(model_dir), runs)
    result = {"runs": rows, "environment": environment() | {"simulator": SIMULATOR_VERSION}}
    write_scores(ScoreTable.concat(tables.values()), config.out / SCORES_FILE)
    write_json(config.out / "results.json", result)
    write_resolved(config, config.out, "demo")
    target = read_manifest(manifests[config.target])
    write_report(_report(config, rows, tables, runs, target, Card.read(model_dir)), config.out / "report.html")
    say(f"report: {config.out / 'report.html'}")
    return {"report": str(config.out / "report.html"), "seconds": perf_counter() - start, "mean_hter": _means(rows)}


def _training(config: DemoConfig) -> TrainConfig:
    given = {
        "manifest": [_site_folder(config, name) / "manifest.parquet" for name in config.sources],
        "out": config.out / "model",
        "model": config.model,
        "seed": config.seed,
        "threads": config.threads,
    }
    training = parse(TrainConfig, {**given, **config.training}, "training")
    model_class(training.model)
    return training


def _plan(config: DemoConfig, method: str, missing: str) -> AdaptConfig:
    settings = config.settings if method == config.model else {}
    parse_settings(method, settings)
    given = {
        "model": config.out / "model",
        "manifest": _site_folder(config, config.target) / "manifest.parquet",
        "out": config.out / "runs" / f"{method}_{missing.replace(',', '-') or 'none'}_missing",
        "method": method,
        "missing": missing,
        "settings": settings,
        "batch_size": config.batch_size,
        "seed": config.seed,
        "threads": config.threads,
        "checkpoint_every": 50,
    }
    return parse(AdaptConfig, given, "adaptation")


def _site_folder(config: DemoConfig, name: str) -> Path:
    return config.out / "sites" / load_site(name).name


def _simulated(name: str, config: DemoConfig, say: Callable[[str], None]) -> Path:
    site = load_site(name)
    held_out = name == config.target
    count = config.target_captures if held_out else config.source_captures
    out = _site_folder(config, name)
    say(f"simulating {count} captures of {site.name}")
    start = perf_counter()
    path = simulate(site, count=count, seed=config.seed, out=out, workers=config.workers)
    say(f"  {count / (perf_counter() - start):.0f} captures a second")
    return path


def _adapt(plan: AdaptConfig, say: Callable[[str], None]) -> _Run:
    shutil.rmtree(plan.out, ignore_errors=True)  # what an earlier demo left, finished or interrupted
    summary = adapt(plan)
    missing = plan.missing or "nothing"
    say(f"{plan.method}, missing {missing}: {summary['updates']} updates, {summary['seconds']:.0f} s")
    return _Run(plan.method, plan.missing, plan.out, summary)


def _evaluate(
    config: DemoConfig, card: Card, runs: list[_Run]
) -> tuple[list[dict[str, Any]], dict[tuple[str, str], ScoreTable]]:
    rows, tables = [], {}
    for run in runs:
        table = read_scores(run.folder / SCORES_FILE)
        tables[run.method, run.missing] = table
        facts = {
            "protocol": PROTOCOL,
            "sources": list(config.sources),
            "target": config.target,
            "stream": "arrival",
            "steps_taken": run.summary["updates"],
            "seconds": run.summary["seconds"],
            "captures_per_second": run.summary["captures_per_second"],
        }
        rows.append(run_row(table, card.threshold(run.missing), facts))
    with_differences(rows, tables)
    return rows, tables


def _report(
    config: DemoConfig,
    rows: list[dict[str, Any]],
    tables: dict[tuple[str, str], ScoreTable],
    runs: list[_Run],
    target: Manifest,
    card: Card,
) -> ReportData:
    truth = dict(zip(target.column("capture_id").tolist(), target.column("label").tolist(), strict=True))
    groups = [
        score_group(table.by_presentation(), config.target, card.threshold(missing))
        for (_, missing), table in tables.items()
    ]
    adapted = [run for run in runs if run.method != "source"]
    timelines = [_timeline(config.target, run, truth) for run in adapted]
    shown = adapted[0] if adapted else runs[0]
    return ReportData(
        title="Before and after adaptation",
        subtitle=f"trained on {', '.join(config.sources)}; adapted to {config.target} without labels",
        runs=rows,
        score_groups=groups,
        timelines=timelines,
        tiles=pick_tiles(tables[shown.method, shown.missing], target, card.threshold(shown.missing)),
        environment=environment() | {"simulator": SIMULATOR_VERSION},
        command=f"mfas demo --seed {config.seed}",
        config=json.loads(config.model_dump_json(exclude={"out"})),
    )


def _timeline(target: str, run: _Run, truth: Mapping[str, str]) -> Timeline:
    steps = read_steps(run.folder)
    return Timeline(target, run.missing, run.method, with_truth(steps, truth), judge_pseudo_labels(steps, truth))


def _means(rows: list[dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Mean HTER per method over all patterns, and over those that leave two or more modalities."""
    out: dict[str, dict[str, float | None]] = {}
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method and row["hter"] is not None]
        out[method] = {
            "all_patterns": _mean([row["hter"] for row in own]),
            "two_or_more_modalities": _mean([row["hter"] for row in own if "," not in row["missing"]]),
        }
    return out


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
