"""What a stream is made of, as data: built-in recipes in ``streams/*.yaml``, or a YAML file of one's own."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from mfas.config import Config, parse, read_yaml
from mfas.core import Modality
from mfas.errors import ConfigError

TARGET = "target"
SOURCES = "sources"


class Noise(Config):
    """A ``share`` of the presentations between two points of the stream (fractions of it) is noise in every sensor."""

    share: float = Field(gt=0, le=1)
    start: float = Field(0.0, ge=0, lt=1)
    end: float = Field(1.0, gt=0, le=1)

    @model_validator(mode="after")
    def _forward(self) -> Noise:
        if self.start >= self.end:
            raise ValueError(f"expected start below end, got {self.start:g} and {self.end:g}")
        return self


class StreamRecipe(Config):
    """How presentations are drawn, ordered and disturbed; every share lies in [0, 1]. See `docs/benchmark.md`."""

    description: str = ""
    captures: int = Field(1000, ge=1, description="about: presentations stay whole; of one pass")
    bona_fide_share: float = Field(0.5, ge=0, le=1, description="of the presentations")
    batch_size: int = Field(10, ge=1)
    passes: int = Field(1, ge=1)
    sites: tuple[str, ...] = Field((TARGET,), min_length=1, description="target, sources, or names of these")
    every: int = Field(0, ge=0, description="captures after which the next of the sites comes; 0 = all mixed")
    noise: Noise | None = None
    failing_sensors: float = Field(0.0, ge=0, le=1, description="chance of each sensor in each capture; one is left")
    covered: tuple[Modality, ...] = Field((), description="modalities that every attack presentation covers")
    repeat_missed: float = Field(0.0, ge=0, le=1, description="share of attacks replaced by the best-scored attack")
    creep: bool = Field(False, description="attacks are blended towards live faces, from not at all to wholly")
    checkpoints: int = Field(0, ge=0, description="times on the way that the probe is scored")

    @field_validator("covered")
    @classmethod
    def _one_left(cls, value: tuple[Modality, ...]) -> tuple[Modality, ...]:
        if len(set(value)) == len(Modality):
            raise ValueError("expected at least one modality that is not covered")
        return value


def recipe_names() -> tuple[str, ...]:
    """Names of the built-in recipes."""
    folder = resources.files("mfas.benchmark") / "streams"
    return tuple(sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml")))


def load_recipe(name_or_path: str, overrides: dict[str, Any] | None = None) -> StreamRecipe:
    """A built-in recipe by name, or one from a YAML file, with ``overrides`` laid over. Raises `ConfigError`."""
    if name_or_path.endswith((".yaml", ".yml")):
        values = read_yaml(Path(name_or_path))
    elif name_or_path in recipe_names():
        with resources.as_file(resources.files("mfas.benchmark") / "streams" / f"{name_or_path}.yaml") as path:
            values = read_yaml(path)
    else:
        known = ", ".join(recipe_names())
        raise ConfigError(f"unknown stream '{name_or_path}', expected one of {known} or a YAML file")
    return parse(StreamRecipe, {**values, **(overrides or {})}, f"stream '{name_or_path}'")


def expand_sites(recipe: StreamRecipe, target: str, sources: tuple[str, ...]) -> tuple[str, ...]:
    """The recipe's sites by name, in its order. Raises `ConfigError` for a site that is neither target nor source."""
    found: list[str] = []
    for name in recipe.sites:
        if name == SOURCES:
            found += sources
        elif name in (TARGET, target, *sources):
            found.append(target if name == TARGET else name)
        else:
            raise ConfigError(f"expected stream sites out of target, sources, {', '.join(sources)}, got '{name}'")
    return tuple(found)
