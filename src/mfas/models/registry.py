"""Models by name. A new model is one new file in this folder with ``@register("name")`` on its class."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import mfas.models
from mfas.card import Preprocess
from mfas.config import parse
from mfas.errors import ConfigError
from mfas.models.contract import FasModel

ModelT = TypeVar("ModelT", bound=type[FasModel])
_REGISTRY: dict[str, type[FasModel]] = {}
_NOT_MODELS = {"registry", "contract", "backbones"}


def register(name: str) -> Callable[[ModelT], ModelT]:
    """Class decorator that puts a model on the registry under ``name``."""

    def add(cls: ModelT) -> ModelT:
        cls.name = name
        _REGISTRY[name] = cls
        return cls

    return add


def names() -> tuple[str, ...]:
    """Every registered model, sorted."""
    _discover()
    return tuple(sorted(_REGISTRY))


def model_class(name: str) -> type[FasModel]:
    """The class behind ``name``; `ConfigError` lists what there is."""
    _discover()
    try:
        return _REGISTRY[name]
    except KeyError:
        raise ConfigError(f"expected a model out of {', '.join(sorted(_REGISTRY))}, got '{name}'") from None


def create(name: str, spec: Preprocess, architecture: Mapping[str, Any] | None = None) -> FasModel:
    """Build an untrained model; unknown architecture keys are refused by name."""
    cls = model_class(name)
    return cls(spec, parse(cls.Architecture, architecture or {}, f"architecture of {name}"))


def _discover() -> None:
    for module in pkgutil.iter_modules(mfas.models.__path__):
        if not module.ispkg and module.name not in _NOT_MODELS:
            importlib.import_module(f"mfas.models.{module.name}")
