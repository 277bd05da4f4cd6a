"""Importers by name. A new data set is one new file in this folder with ``@register("name")`` on its class."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import TypeVar

import mfas.data.importers
from mfas.data.importers.contract import Importer
from mfas.errors import ConfigError

ImporterT = TypeVar("ImporterT", bound=type[Importer])
_REGISTRY: dict[str, type[Importer]] = {}
_NOT_SETS = {"registry", "contract", "run"}


def register(name: str) -> Callable[[ImporterT], ImporterT]:
    """Class decorator that puts an importer on the registry under ``name``."""

    def add(cls: ImporterT) -> ImporterT:
        cls.name = name
        _REGISTRY[name] = cls
        return cls

    return add


def names() -> tuple[str, ...]:
    """Every registered importer, sorted."""
    for module in pkgutil.iter_modules(mfas.data.importers.__path__):
        if module.name not in _NOT_SETS and not module.name.startswith("_"):
            importlib.import_module(f"mfas.data.importers.{module.name}")
    return tuple(sorted(_REGISTRY))


def importer_class(name: str) -> type[Importer]:
    """The class behind ``name``; `ConfigError` lists what there is."""
    known = names()
    if name not in known:
        raise ConfigError(f"expected a data set out of {', '.join(known)}, got '{name}'")
    return _REGISTRY[name]
