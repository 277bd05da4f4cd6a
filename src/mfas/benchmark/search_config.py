"""Configuration of `mfas audit search`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from mfas.config import Config
from mfas.core import MODALITIES, format_modalities, parse_modalities
from mfas.errors import InputError


class SearchConfig(Config):
    """Configuration of `mfas audit search`. ``model`` None = the default weights of the package.

    ``species`` empty = those of the site. ``budget`` counts full renders for each species, shared among ``scenes``
    (pairs of victim and presenter); random parameters get as many.
    """

    model: Path | None = None
    delta: Path | None = Field(None, description="folder of a state adapted from the model")
    site: str
    species: tuple[str, ...] = ()
    out: Path
    missing: str = Field("", description="modalities that the detector does not get")
    budget: int = Field(200, ge=1, le=100_000)
    scenes: int = Field(2, ge=1, le=1000)
    ahead: int = Field(0, ge=0, le=20, description="cheap previews for each full render; 0 = none")
    glance_resolution: int = Field(56, ge=48, le=512, description="side of a preview, pixels")
    glance_cost: float = Field(0.65, gt=0, le=1, description="of a preview, a full render = 1")
    repeats: int = Field(40, ge=0, le=10_000, description="fresh people and noise that the easiest attack is tried on")
    keep: int = Field(20, ge=0, le=10_000, description="accepted captures of a species that go to the manifest")
    split: Literal["train", "validation", "test"] = Field("train", description="whose people are shown")
    seed: int = Field(0, ge=0)
    threads: int = Field(1, ge=0, description="of the network; 0 = as many as it chooses")

    @field_validator("species", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @field_validator("missing")
    @classmethod
    def _canonical(cls, value: str) -> str:
        try:
            missing = parse_modalities(value)
        except InputError as reason:
            raise ValueError(str(reason)) from None
        if len(missing) == len(MODALITIES):
            raise ValueError(f"expected a pattern that leaves a modality, got '{value}'")
        return format_modalities(missing)

    def command(self) -> str:
        """The command that repeats this search."""
        parts = ["mfas audit search"]
        parts += [f"--model {self.model}"] if self.model else []
        parts += [f"--delta {self.delta}"] if self.delta else []
        parts += [f"--site {self.site}"]
        parts += [f"--species {','.join(self.species)}"] if self.species else []
        parts += [f"--missing {self.missing}"] if self.missing else []
        parts += [f"--budget {self.budget} --seed {self.seed} --out {self.out}"]
        named = {"model", "delta", "site", "species", "missing", "budget", "seed", "out"}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if name not in named and value != field.default:
                parts.append(f"--set {name}={value}")
        return " ".join(parts)
