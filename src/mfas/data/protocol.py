"""Protocols as data: which lists of which sets train, which are scored, and what is missing."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from mfas.config import Config, parse, read_yaml
from mfas.core import MISSING_PATTERNS, format_modalities, parse_modalities
from mfas.errors import ConfigError

PUBLISHED_FILE = "published.yaml"


class SetPlan(Config):
    """One set of a protocol: its importer, options, and the number of captures that the published lists have."""

    importer: str
    options: dict[str, Any] = Field(default_factory=dict)
    captures: dict[Literal["train", "validation", "test"], int] = Field(default_factory=dict)


class Case(Config):
    """One training and one test: sets whose train and validation lists are used, and sets whose test list is scored."""

    sources: tuple[str, ...] = Field(min_length=1)
    targets: tuple[str, ...] = Field(min_length=1)

    @property
    def within(self) -> bool:
        """Whether source and target are parts of one set."""
        return bool(set(self.sources) & set(self.targets))


class Protocol(Config):
    """A protocol: sets by name, cases by name, and imposed missing patterns."""

    name: str
    title: str
    sets: dict[str, SetPlan] = Field(min_length=1)
    cases: dict[str, Case] = Field(min_length=1)
    missing: tuple[str, ...] = Field(("",), min_length=1)

    @field_validator("missing")
    @classmethod
    def _canonical(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        found = tuple(format_modalities(parse_modalities(text)) for text in value)
        for text in found:
            if text not in MISSING_PATTERNS:
                raise ValueError(f"expected patterns that leave at least one modality, got '{text}'")
        return found

    @model_validator(mode="after")
    def _complete(self) -> Protocol:
        for name, case in self.cases.items():
            for used in (*case.sources, *case.targets):
                if used not in self.sets:
                    raise ValueError(f"case {name}: expected sets out of {', '.join(self.sets)}, got '{used}'")
        return self


def protocol_names() -> tuple[str, ...]:
    """Protocols of the package, sorted."""
    files = resources.files("mfas.data.protocols").iterdir()
    return tuple(sorted(f.name[:-5] for f in files if f.name.endswith(".yaml") and f.name != PUBLISHED_FILE))


def load_protocol(source: str | Path) -> Protocol:
    """A protocol of the package by name (``mmdg_p1``, ``protocols/mmdg_p1.yaml``), or a YAML file.

    Raises `ConfigError` when there is neither.
    """
    path = Path(source)
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return parse(Protocol, read_yaml(path), str(path))
    name = path.stem if path.parent.name in ("", "protocols") else ""
    if name not in protocol_names():
        raise ConfigError(f"expected a protocol file or one of {', '.join(protocol_names())}, got '{source}'")
    with resources.as_file(resources.files("mfas.data.protocols") / f"{name}.yaml") as packaged:
        return parse(Protocol, read_yaml(packaged), name)
