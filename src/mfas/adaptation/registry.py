"""Methods by name. A new method is one new file in this folder with ``@register("name")`` on its class."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import mfas.adaptation
from mfas.adaptation.contract import Adapter
from mfas.card import Card
from mfas.config import Config, parse
from mfas.errors import ConfigError
from mfas.models.contract import FasModel


class AdapterClass(Protocol):
    """How a method is built: the source model, its card, its settings, a seed."""

    Settings: type[Config]

    def __call__(self, model: FasModel, card: Card, settings: Any, seed: int) -> Adapter:
        """Wrap ``model``; the method may change it in place."""


AdapterT = TypeVar("AdapterT", bound=type[Adapter])
_REGISTRY: dict[str, Any] = {}


def register(name: str) -> Callable[[AdapterT], AdapterT]:
    """Class decorator that puts a method on the registry under ``name``."""

    def add(cls: AdapterT) -> AdapterT:
        cls.name = name
        _REGISTRY[name] = cls
        return cls

    return add


def names() -> tuple[str, ...]:
    """Every registered method, sorted."""
    _discover()
    return tuple(sorted(_REGISTRY))


def method_class(name: str) -> AdapterClass:
    """The class behind ``name``; `ConfigError` lists what there is."""
    _discover()
    if name not in _REGISTRY:
        raise ConfigError(f"expected a method out of {', '.join(sorted(_REGISTRY))}, got '{name}'")
    cls: AdapterClass = _REGISTRY[name]
    return cls


def create(name: str, model: FasModel, card: Card, settings: Mapping[str, Any] | None = None, seed: int = 0) -> Adapter:
    """Wrap ``model`` in the method ``name``; unknown names and settings are refused by name."""
    cls = method_class(name)
    return cls(model, card, parse(cls.Settings, settings or {}, f"settings of {name}"), seed)


def _discover() -> None:
    for module in pkgutil.iter_modules(mfas.adaptation.__path__):
        if module.name not in {"registry", "contract"}:
            importlib.import_module(f"mfas.adaptation.{module.name}")
