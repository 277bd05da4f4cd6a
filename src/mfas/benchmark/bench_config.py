"""Configuration of `mfas benchmark`: a grid of targets, models, methods, missing patterns, streams and seeds."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from mfas.benchmark.bench_parts import BASELINE, PartPlan, unknown_entry
from mfas.benchmark.training_run import TrainConfig
from mfas.config import Config, parse
from mfas.core import MISSING_PATTERNS, format_modalities, parse_modalities

__all__ = ["BASELINE", "BenchConfig", "MethodPlan", "SitesPlan", "TrainingPlan", "stream_row"]


class SitesPlan(Config):
    """How many captures and people each simulated site gets, and its seed."""

    count: int = Field(4000, ge=1)
    subjects: int = Field(200, ge=5)
    seed: int = Field(0, ge=0)


class TrainingPlan(Config):
    """Source training of every model; ``seeds`` are training seeds, one model each."""

    epochs: int = Field(10, ge=1)
    seeds: tuple[int, ...] = Field((0,), min_length=1)


class MethodPlan(Config):
    """One row of the tables: a registered ``method`` (empty = the row's own name) and its settings."""

    method: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    cost: float = Field(2.0, gt=0, description="time over a plain prediction, for the plan, until it is measured")


class BenchConfig(Config):
    """Configuration of `mfas benchmark`; see `docs/benchmark.md`."""

    out: Path = Path("runs/bench")
    sites: SitesPlan = SitesPlan()
    manifests: dict[str, Path] = Field(default_factory=dict, description="sites that are not simulated")
    targets: tuple[str, ...] = Field(min_length=1)
    sources: tuple[str, ...] = Field((), description="empty = the other targets")
    models: dict[str, dict[str, Any]] = Field(min_length=1, description="row name to keys of `mfas train`")
    training: TrainingPlan = TrainingPlan()
    methods: dict[str, MethodPlan] = Field(min_length=1)
    missing: tuple[str, ...] = Field(MISSING_PATTERNS, min_length=1)
    streams: dict[str, dict[str, Any]] = Field(min_length=1, description="recipe name or YAML file to overrides")
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1, description="of the streams")
    parts: tuple[PartPlan, ...] = Field((), description="what of the grid is run; empty = all of it")
    against: tuple[str, ...] = Field((BASELINE,), min_length=1, description="rows that differences are taken to")
    plugins: tuple[Path, ...] = Field((), description="Python files that register methods")
    workers: int = Field(1, ge=1, le=64, description="processes, each with one thread")
    ray: str = Field("", description="empty = this machine's processes; local, auto, or the address of a cluster")
    probe: int = Field(0, ge=0, description="captures of held-out people at most, whole presentations; 0 = all")
    draws: int = Field(2000, ge=100, le=100_000, description="of the bootstrap")
    cost_captures: int = Field(200, ge=0, description="captures to time each method on; 0 = not timed")

    @field_validator("streams", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return {key: {} for key in value} if isinstance(value, list | tuple) else value

    @field_validator("models", "streams", "methods", mode="before")
    @classmethod
    def _no_overrides(cls, value: Any) -> Any:
        return {k: {} if v is None else v for k, v in value.items()} if isinstance(value, dict) else value

    @field_validator("missing")
    @classmethod
    def _canonical(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        found = tuple(format_modalities(parse_modalities(text)) for text in value)
        for text in found:
            if text not in MISSING_PATTERNS:
                raise ValueError(f"expected patterns that leave at least one modality, got '{text}'")
        return found

    @model_validator(mode="after")
    def _comparable(self) -> BenchConfig:
        if BASELINE not in self.methods or self.methods[BASELINE] != MethodPlan():
            raise ValueError(f"expected '{BASELINE}: {{}}' among the methods: it is what the others are held against")
        for key in ("targets", "sources", "missing", "seeds", "against"):
            values = getattr(self, key)
            if len(set(values)) < len(values):
                raise ValueError(f"expected each of {key} once, got {', '.join(map(str, values))}")
        both = [name for name in self.targets if name in self.sources]
        if both:
            raise ValueError(f"expected targets that are not among the sources, got '{both[0]}'")
        if not self.sources and len(self.targets) < 2:
            raise ValueError("expected sources, or at least two targets that are each other's sources")
        axes: dict[str, Collection[str | int]] = {
            "targets": self.targets,
            "models": self.models,
            "methods": self.methods,
            "missing": self.missing,
            "streams": [stream_row(name) for name in self.streams],
            "seeds": self.seeds,
        }
        fault = unknown_entry(self.parts, axes)
        if fault:
            raise ValueError(fault)
        strange = [name for name in self.against if name not in self.methods]
        if strange:
            raise ValueError(f"expected against out of {', '.join(self.methods)}, got '{strange[0]}'")
        return self

    @property
    def site_names(self) -> tuple[str, ...]:
        """Every site of the grid, once."""
        return tuple(dict.fromkeys((*self.targets, *self.sources)))

    def sources_of(self, target: str) -> tuple[str, ...]:
        """The sites a model for ``target`` is trained on."""
        return self.sources or tuple(name for name in self.targets if name != target)

    def manifest_of(self, site: str) -> Path:
        """Where the manifest of a site is, or will be once it is simulated."""
        return self.manifests.get(site, self.out / "sites" / site / "manifest.parquet")

    def method_of(self, row: str) -> str:
        """The registered name behind a row of the tables."""
        return self.methods[row].method or row

    def model_dir(self, model: str, sources: tuple[str, ...], seed: int) -> Path:
        """Where a trained source model is, or will be."""
        return self.out / "models" / f"{model}_{'-'.join(sources)}_s{seed}"

    def training_of(self, model: str, sources: tuple[str, ...], seed: int) -> TrainConfig:
        """The configuration of one source training."""
        own = dict(self.models[model])
        loop = {"epochs": self.training.epochs, **own.pop("loop", {})}
        fixed = {
            "manifest": [self.manifest_of(name) for name in sources],
            "out": self.model_dir(model, sources, seed),
            "seed": seed,
            "loop": loop,
        }
        return parse(TrainConfig, {"model": model, **own, **fixed}, f"models.{model}")


def stream_row(name: str) -> str:
    """What a stream is called in tables: its name, or that of its YAML file."""
    return Path(name).stem if name.endswith((".yaml", ".yml")) else name
