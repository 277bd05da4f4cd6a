"""`mfas score`: a model's scores of a whole manifest, without torch; a stopped run goes on where it was."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

from pydantic import Field, field_validator

from mfas._files import make_folder, sha256
from mfas.card import CARD_FILE
from mfas.config import Config, environment, write_resolved
from mfas.core import MODALITIES, format_modalities, parse_modalities
from mfas.data.manifest_parts import count_checked, manifest_parts
from mfas.errors import InputError
from mfas.export.predictor import OnnxPredictor, Precision
from mfas.export.score_parts import Parts
from mfas.export.score_workers import score_here, score_in_processes, score_on_ray
from mfas.export.scoring import Scored, Scoring, Stages
from mfas.weights import default_directory


class ScoreConfig(Config):
    """Configuration of `mfas score`. ``model`` None = the default weights; ``workers`` None = one per core.

    ``shard`` rows are scored and kept at a time, in batches of ``batch``; both are part of what must agree for a
    stopped run to go on. ``decoders`` threads per worker decode ahead of the network.
    """

    manifest: Path
    out: Path
    model: Path | None = None
    missing: str = ""
    precision: Precision = "fp32"
    batch: int = Field(32, ge=1, le=4096)
    shard: int = Field(500, ge=1, le=100_000)
    workers: int | None = Field(None, ge=1, le=1024)
    decoders: int = Field(1, ge=0, le=64)
    yunet: Path | None = None
    records: Path | None = Field(None, description="decision records to write, one line of JSON per capture: .jsonl")
    ray: str = Field("", description="empty = this machine's processes; local, auto, or the address of a cluster")

    @field_validator("missing")
    @classmethod
    def _leaves_something(cls, value: str) -> str:
        try:
            missing = format_modalities(parse_modalities(value))
        except InputError as reason:
            raise ValueError(str(reason)) from None
        if len(missing.split(",")) == len(MODALITIES):
            raise ValueError(f"expected a pattern that leaves a modality, got '{missing}'")
        return missing

    @field_validator("out")
    @classmethod
    def _parquet(cls, value: Path) -> Path:
        if value.suffix.lower() != ".parquet":
            raise ValueError(f"expected a score table named .parquet, got {value}")
        return value

    @field_validator("records")
    @classmethod
    def _jsonl(cls, value: Path | None) -> Path | None:
        if value is not None and value.suffix.lower() != ".jsonl":
            raise ValueError(f"expected decision records named .jsonl, got {value}")
        return value


def _silent(done: int, total: int) -> None:
    del done, total


def score(config: ScoreConfig, progress: Callable[[int, int], None] = _silent) -> dict[str, Any]:
    """Write the score table ``OUT``, one row per capture in the manifest's order, and ``NAME.config.json`` beside it.

    With ``records`` that file holds a line per capture in the same order: its id and its decision record.

    Finished shards lie in ``OUT.parts`` until the table is written; a run that was stopped at any moment goes on from
    them and ends in the same bytes, whatever ``workers``, ``decoders`` and ``ray`` are. Returns a JSON-safe summary
    with the seconds of each stage summed over workers. Raises `ManifestError`, `ModelDirError`, `ImageError` (names the
    capture), `InputError` (``OUT.parts`` of another run), `ConfigError` (no such cluster).
    """
    begin = perf_counter()
    settings = _settings(config)
    card = OnnxPredictor(settings.model, threads=1, precision=settings.precision).card
    rows = count_checked(config.manifest)
    if not rows:
        raise InputError(f"expected captures in {config.manifest}, got none")
    checked = perf_counter() - begin
    make_folder(config.out.parent)
    if config.records is not None:
        make_folder(config.records.parent)
    parts = Parts(config.out, _identity(config, settings), config.records)
    finished = parts.open()
    workers = min(config.workers or len(os.sched_getaffinity(0)), -(-rows // config.shard))
    stages, wrote, fresh = Stages(), 0.0, 0
    done = sum(_length(number, config.shard, rows) for number in finished)
    progress(done, rows)
    for number, found in _scored(config, settings, workers, finished):
        start = perf_counter()
        parts.write(number, found.scores, found.records)
        wrote += perf_counter() - start
        stages += found.stages
        fresh += len(found.scores)
        progress(done + fresh, rows)
    start = perf_counter()
    silent = parts.join(-(-rows // config.shard), rows)
    name = f"{config.out.stem}.config.json"
    write_resolved(config, config.out.parent, "score", name=name, model_sha256=sha256(settings.model / CARD_FILE))
    parts.clear()
    wrote += perf_counter() - start
    seconds = perf_counter() - begin
    return {
        "out": str(config.out),
        **({} if config.records is None else {"records": str(config.records)}),
        "model": card.model,
        "missing": config.missing,
        "precision": config.precision,
        "captures": rows,
        "non_response": silent,
        "resumed": rows - fresh,
        "workers": workers,
        "seconds": seconds,
        "captures_per_second": fresh / seconds,
        "stages": {"manifest": checked, **asdict(stages), "write": wrote},
        **card.told(),
    }


def _settings(config: ScoreConfig) -> Scoring:
    if config.yunet is not None and not config.yunet.is_file():
        raise InputError(f"YuNet file not found: {config.yunet}")
    return Scoring(
        model=(config.model or default_directory()).absolute(),
        missing=config.missing,
        precision=config.precision,
        batch=config.batch,
        yunet=None if config.yunet is None else config.yunet.absolute(),
        decoders=config.decoders,
        records=config.records is not None,
    )


def _identity(config: ScoreConfig, settings: Scoring) -> dict[str, Any]:
    """Everything the scores depend on. Not the number of workers; not torch, which has no part in them."""
    settled = config.model_dump(mode="json", include={"missing", "precision", "batch", "shard"})
    detector = "" if settings.yunet is None else sha256(settings.yunet)
    versions = {name: version for name, version in environment().items() if name != "torch"}
    return {
        "model": sha256(settings.model / CARD_FILE),
        "manifest": sha256(config.manifest),
        **settled,
        "face detector": detector,
        "set of versions": versions,
    }


def _scored(config: ScoreConfig, settings: Scoring, workers: int, finished: set[int]) -> Iterator[tuple[int, Scored]]:
    """Every shard that is not there yet, as it ends."""
    manifest = config.manifest.absolute()
    shards = (s for s in enumerate(manifest_parts(manifest, config.shard)) if s[0] not in finished)
    if config.ray:
        return score_on_ray(settings, shards, config.ray, workers)
    if workers == 1:
        return score_here(settings, shards)
    return score_in_processes(settings, shards, workers)


def _length(number: int, shard: int, rows: int) -> int:
    return min(shard, rows - number * shard)
