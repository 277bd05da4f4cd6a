"""What a stream is made of, as data: built-in recipes in ``streams/*.yaml``, or a YAML file of one's own."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from mfas.config import Config, parse, read_yaml
from mfas.core import Modality
from mfas.errors import ConfigError

TARGET = "target"
SOURCES = "sources"
FIRST_SOURCE = "source"


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


class Correlated(Config):
    """Presentations come in clumps of one kind: each kind is dealt over ``slots`` by a Dirichlet draw.

    The protocol of NOTE (Gong et al., NeurIPS 2022) and RoTTA (Yuan et al., CVPR 2023). The smaller ``concentration``,
    the more of a kind falls into one slot. Within a slot, kinds follow each other.
    """

    concentration: float = Field(0.1, gt=0, le=1000)
    slots: int = Field(10, ge=1)
    by: Literal["species", "class"] = "species"


class StreamRecipe(Config):
    """How presentations are drawn, ordered and disturbed; every share lies in [0, 1]. See `docs/benchmark.md`."""

    description: str = ""
    captures: int = Field(1000, ge=1, description="about: presentations stay whole; of one pass")
    bona_fide_share: float = Field(0.5, ge=0, le=1, description="of the presentations")
    batch_size: int = Field(10, ge=1)
    passes: int = Field(1, ge=1)
    sites: tuple[str, ...] = Field((TARGET,), min_length=1, description="target, sources, source, or names of these")
    every: int = Field(0, ge=0, description="captures after which the next of the sites comes; 0 = all mixed")
    transition: Literal["", "steps", "linear"] = Field("", description="sites come once, cut or crossfaded")
    correlated: Correlated | None = None
    noise: Noise | None = None
    failing_sensors: float = Field(0.0, ge=0, le=1, description="chance of each sensor in each capture; one is left")
    covered: tuple[Modality, ...] = Field((), description="modalities that every attack presentation covers")
    repeat_missed: float = Field(0.0, ge=0, le=1, description="share of attacks replaced by the best-scored attack")
    poisoned: float = Field(0.0, ge=0, le=1, description="share of attacks, the first ones, that an attacker chooses")
    creep: bool = Field(False, description="attacks are blended towards live faces, from not at all to wholly")
    episode: int = Field(0, ge=0, description="presentations after which the method starts anew; 0 = never")
    checkpoints: int = Field(0, ge=0, description="times on the way that the probe is scored")

    @field_validator("covered")
    @classmethod
    def _one_left(cls, value: tuple[Modality, ...]) -> tuple[Modality, ...]:
        if len(set(value)) == len(Modality):
            raise ValueError("expected at least one modality that is not covered")
        return value

    @model_validator(mode="after")
    def _one_order(self) -> StreamRecipe:
        orders = {"every": self.every, "transition": self.transition, "correlated": self.correlated}
        chosen = [key for key, value in orders.items() if value]
        if len(chosen) > 1:
            raise ValueError(f"expected one order of presentations, got {' and '.join(chosen)}")
        return self


_YOUNGER = ("transition", "correlated", "poisoned", "episode")
"""Keys that came after cells were kept: at their defaults they are no part of a cell's hash."""


def recipe_content(recipe: StreamRecipe) -> dict[str, Any]:
    """What a stream depends on, JSON-safe: every key that decides something."""
    values = recipe.model_dump(mode="json", exclude={"description"})
    plain = {key: StreamRecipe.model_fields[key].default for key in _YOUNGER}
    return {key: value for key, value in values.items() if key not in plain or value != plain[key]}


def recipe_names() -> tuple[str, ...]:
    """Names of the built-in recipes."""
    folder = resources.files("mfas.benchmark") / "streams"
    return tuple(sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml")))


def descriptions() -> dict[str, str]:
    """What happens in each built-in recipe, by name."""
    return {name: load_recipe(name).description for name in recipe_names()}


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
    """The recipe's sites by name, in its order; ``source`` is the first of the sources.

    Raises `ConfigError` for a site that is neither target nor source.
    """
    found: list[str] = []
    for name in recipe.sites:
        if name == SOURCES:
            found += sources
        elif name == FIRST_SOURCE:
            found.append(sources[0])
        elif name in (TARGET, target, *sources):
            found.append(target if name == TARGET else name)
        else:
            raise ConfigError(f"expected stream sites out of target, sources, {', '.join(sources)}, got '{name}'")
    return tuple(found)
