"""`mfas adapt`: one unlabelled pass over a manifest in arrival order, resumable at any moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from pydantic import Field, field_validator

from mfas._files import make_folder, sha256
from mfas.adaptation.contract import Adapter, StepReport
from mfas.adaptation.plugins import load_plugin
from mfas.adaptation.registry import create
from mfas.adaptation.saving import load_state, save_state
from mfas.benchmark.labelled_run import read_labelled
from mfas.benchmark.progress import Progress
from mfas.benchmark.rows import ScoreRows
from mfas.card import CARD_FILE, Card
from mfas.config import Config, write_resolved
from mfas.core import Modality, format_modalities, parse_modalities
from mfas.data.dataset import batches
from mfas.data.manifest import Manifest, read_manifest
from mfas.errors import InputError
from mfas.models.store import load_model
from mfas.weights import default_directory


class AdaptConfig(Config):
    """Configuration of `mfas adapt`. ``model`` None = the default weights of the package."""

    model: Path | None = None
    manifest: Path
    out: Path
    method: str = "mfas_danet"
    missing: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    split: str | None = None
    batch_size: int = Field(10, ge=1)
    seed: int = Field(0, ge=0)
    checkpoint_every: int = Field(10, ge=1, description="batches between two checkpoints")
    workers: int = Field(1, ge=0, description="threads that decode ahead")
    threads: int = Field(0, ge=0, description="0 = as many as torch chooses")
    yunet: Path | None = None
    plugins: tuple[Path, ...] = Field((), description="Python files that register methods or guards")

    @field_validator("missing")
    @classmethod
    def _canonical(cls, value: str) -> str:
        missing = format_modalities(parse_modalities(value))
        if len(missing.split(",")) == len(Modality):
            raise ValueError("expected at least one modality to be left")
        return missing

    @property
    def model_dir(self) -> Path:
        """Where the model lies; `ModelDirError` when none is given and the package has none."""
        return self.model or default_directory()


def adapt(
    config: AdaptConfig, *, resume: bool = False, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Score every capture and learn on the way; writes ``scores.parquet``, ``steps.jsonl`` and the adapted state.

    With ``resume`` an interrupted run in ``out`` goes on from its last checkpoint and ends in the same scores, byte for
    byte. Returns a JSON-safe summary. Raises `InputError` when ``out`` holds an unfinished run and ``resume`` is not
    set, or one made with another configuration.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    for path in config.plugins:
        load_plugin(path)
    model, card = load_model(config.model_dir)
    manifest = read_manifest(config.manifest)
    manifest = (manifest.filter(split=config.split) if config.split else manifest).in_arrival_order()
    if not len(manifest):
        raise InputError(f"expected captures in {config.manifest}, got none (split {config.split or 'any'})")
    known = partial(read_labelled, stream=manifest, card=card, missing=config.missing, yunet=config.yunet)
    adapter = create(config.method, model, card, config.settings, config.seed, known)
    make_folder(config.out)
    run = Progress(config.out, identity(config))
    if resume and run.finished():
        run.clear()
        return _summary(config, adapter, run) | card.told()
    run.open(resume)
    if run.cursor:
        load_state(adapter, run.folder, run.identity, prefix=run.prefix)
    _stream(config, adapter, card, manifest, run, progress)
    save_state(adapter, config.out, run.identity | {"sites": sorted(set(manifest.column("site").tolist()))})
    write_resolved(config, config.out, "adapt", model_sha256=run.identity["model"])
    run.close()
    return _summary(config, adapter, run) | card.told()


def identity(config: AdaptConfig) -> dict[str, Any]:
    """What a checkpoint belongs to: the resolved configuration and the hashes of model card and manifests."""
    left_out = {"out", "model", "manifest", "workers", "checkpoint_every", "plugins"}
    own = config.model_dump(mode="json", exclude=left_out)
    files = {"model": sha256(config.model_dir / CARD_FILE), "manifest": sha256(config.manifest)}
    files |= {f"plugin.{path.stem}": sha256(path) for path in config.plugins}
    for part, given in config.settings.items():
        if isinstance(given, Mapping) and "manifest" in given:
            files[f"{part}.manifest"] = sha256(Path(given["manifest"]))
    return {"config": own, **files}


def _stream(
    config: AdaptConfig,
    adapter: Adapter,
    card: Card,
    manifest: Manifest,
    run: Progress,
    progress: Callable[[int, int], None] | None,
) -> None:
    rows = ScoreRows(manifest, config.missing, card.model, config.method, config.seed)
    order = range(run.cursor, len(manifest))
    loaded = batches(
        manifest,
        adapter.model.spec,
        config.batch_size,
        order=order,
        missing=format_modalities({*parse_modalities(config.missing), *card.unknown_modalities()}),
        workers=config.workers,
        yunet=config.yunet,
    )
    reports: list[StepReport] = []
    seconds = 0.0
    for count, item in enumerate(loaded, start=1):
        if item.batch is not None:
            start = perf_counter()
            prediction, report = adapter.step(item.batch)
            seconds += perf_counter() - start
            reports.append(report)
            rows.scored(item, prediction, report.step)
        rows.unanswered(item)
        run.cursor += len(item.rows) + len(item.non_responses)
        if count % config.checkpoint_every == 0:
            run.checkpoint(rows.drain(), reports, seconds, lambda prefix: _keep(adapter, run, prefix))
            reports, seconds = [], 0.0
        if progress is not None:
            progress(run.cursor, len(manifest))
    run.checkpoint(rows.drain(), reports, seconds, lambda prefix: _keep(adapter, run, prefix))


def _keep(adapter: Adapter, run: Progress, prefix: str) -> None:
    save_state(adapter, run.folder, run.identity, prefix=prefix)


def _summary(config: AdaptConfig, adapter: Adapter, run: Progress) -> dict[str, Any]:
    totals = run.totals()
    return {
        "out": str(config.out),
        "method": config.method,
        "missing": config.missing,
        "batch_independent": adapter.batch_independent,
        **totals,
    }
