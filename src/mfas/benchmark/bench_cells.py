"""The grid as a list of cells, and the hash that a finished cell is kept under."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from mfas._files import sha256
from mfas.adaptation.plugins import load_plugin
from mfas.adaptation.registry import is_offline, offline_class, outside_digests
from mfas.benchmark.bench_config import BASELINE, BenchConfig, stream_row
from mfas.benchmark.stream_recipe import StreamRecipe, expand_sites, load_recipe, recipe_content
from mfas.card import CARD_FILE
from mfas.errors import ConfigError

BENCH_VERSION = 1
"""Raised whenever a cell would come out differently; cells of another version are computed anew."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One run: everything by name, ``seed`` is the stream's."""

    target: str
    sources: tuple[str, ...]
    model: str
    training_seed: int
    missing: str
    stream: str
    seed: int
    method: str

    def place(self) -> dict[str, str | int]:
        """Its value on each axis that a part may restrict."""
        own: dict[str, str | int] = {"targets": self.target, "models": self.model, "methods": self.method}
        return own | {"missing": self.missing, "streams": self.stream, "seeds": self.seed}

    def facts(self, config: BenchConfig) -> dict[str, Any]:
        """The fields of a row that name the cell."""
        own = asdict(self) | {"sources": list(self.sources)}
        return {"protocol": "given_sources" if config.sources else "leave_one_out", **own}


class Grid:
    """A configuration with its recipes read and its plug-ins loaded; the same in every process."""

    def __init__(self, config: BenchConfig) -> None:
        self.config = config
        for path in config.plugins:
            load_plugin(path)
        self.recipes: dict[str, StreamRecipe] = {}
        self.settings: dict[tuple[str, str], Any] = {}
        """Resolved settings by (model, method), where the check of the configuration could read them."""
        for name, overrides in config.streams.items():
            short = stream_row(name)
            if short in self.recipes:
                raise ConfigError(f"expected streams of different names, got '{short}' twice")
            own = dict(overrides)
            self.recipes[short] = load_recipe(str(own.pop("recipe", name)), own)

    def cells(self) -> Iterator[Cell]:
        """Every cell of any part, once; those that share model and captures follow each other, the baseline first."""
        parts = self.config.parts
        for cell in self._whole():
            if not parts or any(part.holds(cell.place()) for part in parts):
                yield cell

    def _whole(self) -> Iterator[Cell]:
        config = self.config
        methods = sorted(config.methods, key=lambda name: name != BASELINE)
        models = product(config.targets, config.models, config.training.seeds)
        for (target, model, training_seed), stream in product(models, self.recipes):
            for missing, seed, method in product(config.missing, config.seeds, methods):
                sources = config.sources_of(target)
                yield Cell(target, sources, model, training_seed, missing, stream, seed, method)

    def stream_sites(self, target: str, stream: str) -> tuple[str, ...]:
        """The sites of a stream, in its order."""
        return expand_sites(self.recipes[stream], target, self.config.sources_of(target))

    def model_dir(self, cell: Cell) -> Path:
        """The source model of a cell."""
        return self.config.model_dir(cell.model, cell.sources, cell.training_seed)

    def folder(self, cell: Cell) -> Path:
        """Where the cell is kept; the source model and the manifests must be there."""
        return self.config.out / "cells" / self.key(cell)

    def key(self, cell: Cell) -> str:
        """Content hash of everything the cell depends on."""
        content = {
            "version": BENCH_VERSION,
            "model": self._hashes[self.model_dir(cell) / CARD_FILE],
            "manifests": {name: self._hashes[self.config.manifest_of(name)] for name in self.sites_read(cell)},
            "recipe": recipe_content(self.recipes[cell.stream]),
            "method": self.config.method_of(cell.method),
            "settings": self.settings.get((cell.model, cell.method), self.config.methods[cell.method].settings),
            **asdict(cell),
        }
        outside = outside_digests(self.config.method_of(cell.method))
        if outside:
            content["plugins"] = outside
        if self.config.probe:  # so that cells kept before there was a choice stay good
            content["probe"] = self.config.probe
        text = json.dumps(content, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    def sites_read(self, cell: Cell) -> tuple[str, ...]:
        """Target, the stream's sites, and the sources where the method gets labelled captures of them; each once."""
        method = self.config.method_of(cell.method)
        labelled = cell.sources if is_offline(method) and offline_class(method).needs_source else ()
        return tuple(dict.fromkeys((cell.target, *self.stream_sites(cell.target, cell.stream), *labelled)))

    @cached_property
    def _hashes(self) -> _Hashes:
        return _Hashes()


class _Hashes(dict[Path, str]):
    """SHA-256 of files, each read once."""

    def __missing__(self, path: Path) -> str:
        self[path] = sha256(path)
        return self[path]
