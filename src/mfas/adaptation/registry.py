"""Methods and guards by name. A new one is one new file below this folder with ``@register("name")`` on its class.

Names compose left to right: ``mfas_danet+anchor+canary`` is the canary around the anchor around the method. The
settings of a composed name are a mapping by part, ``{"mfas_danet": {...}, "anchor": {...}}``; those of a plain method
are flat. Methods from outside the package come as entry points or as files, see `mfas.adaptation.plugins`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeVar

import mfas.adaptation
from mfas.adaptation.contract import AdaptedModel, Adapter
from mfas.adaptation.guards.base import Guard
from mfas.adaptation.guards.labelled import LoadLabelled
from mfas.adaptation.offline import OfflineAdapter
from mfas.adaptation.plugins import load_entry_points, origin, outside_digest
from mfas.card import Card
from mfas.config import Config, parse
from mfas.errors import ConfigError
from mfas.models.contract import FasModel


class AdapterClass(Protocol):
    """How a method is built: the source model, its card, its settings, a seed."""

    Settings: type[Config]

    def __call__(self, model: FasModel, card: Card, settings: Any, seed: int) -> Adapter:
        """Wrap ``model``; the method may change it in place."""


AdapterT = TypeVar("AdapterT", bound=type[AdaptedModel])
_METHODS: dict[str, Any] = {}
_OFFLINE: dict[str, Any] = {}
_GUARDS: dict[str, Any] = {}


def register(name: str) -> Callable[[AdapterT], AdapterT]:
    """Class decorator that puts a method, online or offline, or a guard on the registry under ``name``.

    Raises `ConfigError` when another module has that name already: a plug-in may not replace a method unseen.
    """

    def add(cls: AdapterT) -> AdapterT:
        table = _GUARDS if issubclass(cls, Guard) else _OFFLINE if issubclass(cls, OfflineAdapter) else _METHODS
        if name in table and origin(table[name]) != origin(cls):
            raise ConfigError(f"expected a name that is free, got '{name}', which {table[name].__module__} has")
        cls.name = name
        table[name] = cls
        return cls

    return add


def names() -> tuple[str, ...]:
    """Every registered method that learns from a stream, sorted."""
    _discover()
    return tuple(sorted(_METHODS))


def offline_names() -> tuple[str, ...]:
    """Every registered method that learns from the whole target at once (transductive), sorted."""
    _discover()
    return tuple(sorted(_OFFLINE))


def is_offline(name: str) -> bool:
    """Whether the method of a plain or composed ``name`` needs the whole target at once."""
    return name.split("+")[0] in offline_names()


def guard_names() -> tuple[str, ...]:
    """Every registered guard, sorted."""
    _discover()
    return tuple(sorted(_GUARDS))


def method_class(name: str) -> AdapterClass:
    """The class behind a method's ``name``; `ConfigError` lists what there is."""
    if is_offline(name):
        raise ConfigError(
            f"expected a method that learns from a stream, got '{name}', which needs the whole target at once: "
            "compare it with `mfas benchmark`"
        )
    if name not in names():
        raise ConfigError(f"expected a method out of {', '.join(names())}, got '{name}'")
    cls: AdapterClass = _METHODS[name]
    return cls


def outside_digests(name: str) -> dict[str, str]:
    """SHA-256 of the defining file, by part of a plain or composed ``name``, of parts from outside the package."""
    method, *guards = name.split("+")
    own: Any = offline_class(name) if is_offline(name) else method_class(method)
    classes = {method: own, **{guard: _GUARDS[guard] for guard in guards}}
    found = {part: outside_digest(cls) for part, cls in classes.items()}
    return {part: digest for part, digest in found.items() if digest}


def parse_settings(name: str, settings: Mapping[str, Any]) -> dict[str, Config]:
    """Settings of every part of a plain or composed ``name``, method first; `ConfigError` names what is wrong."""
    method, *guards = name.split("+")
    classes: dict[str, Any] = {method: method_class(method)}
    for guard in guards:
        if guard not in guard_names():
            raise ConfigError(f"{name}: expected a guard out of {', '.join(guard_names())}, got '{guard}'")
        if guard in classes:
            raise ConfigError(f"{name}: expected every guard once, got '{guard}' twice")
        classes[guard] = _GUARDS[guard]
    if not guards:
        return {method: parse(classes[method].Settings, settings, f"settings of {method}")}
    for part, given in settings.items():
        if part not in classes:
            raise ConfigError(f"settings of {name}: expected parts out of {', '.join(classes)}, got '{part}'")
        if not isinstance(given, Mapping):
            raise ConfigError(f"settings of {name}: expected a mapping of keys for '{part}', got {given!r}")
    return {part: parse(cls.Settings, settings.get(part, {}), f"settings of {part}") for part, cls in classes.items()}


def create(
    name: str,
    model: FasModel,
    card: Card,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    load: LoadLabelled | None = None,
) -> Adapter:
    """Wrap ``model`` in the method and guards of ``name``; unknown names and settings are refused by name.

    ``load`` reads the labelled captures that a guard's settings name (a canary's ``manifest``); without it such a
    guard is refused.
    """
    parsed = iter(parse_settings(name, settings or {}).items())
    method, own = next(parsed)
    adapter = method_class(method)(model, card, own, seed)
    for guard, own in parsed:
        cls = _GUARDS[guard]
        adapter = cls(adapter, own, load or _nothing) if cls.needs_labelled else cls(adapter, own)
    return adapter


def offline_class(name: str) -> type[OfflineAdapter]:
    """The class behind an offline method's ``name``; `ConfigError` lists what there is, and refuses guards."""
    if is_offline(name) and "+" in name:
        raise ConfigError(f"expected '{name.split('+')[0]}' without guards, which watch a stream, got '{name}'")
    if name not in offline_names():
        raise ConfigError(f"expected an offline method out of {', '.join(offline_names())}, got '{name}'")
    cls: type[OfflineAdapter] = _OFFLINE[name]
    return cls


def create_offline(
    name: str, model: FasModel, card: Card, settings: Mapping[str, Any] | None = None, seed: int = 0
) -> OfflineAdapter:
    """Wrap ``model`` in the offline method ``name``; unknown names and settings are refused by name."""
    cls = offline_class(name)
    return cls(model, card, parse(cls.Settings, settings or {}, f"settings of {name}"), seed)


def _nothing(manifest: Path) -> NoReturn:
    raise ConfigError(f"expected a way to read the labelled captures of {manifest}, got none")


def _discover() -> None:
    for module in pkgutil.walk_packages(mfas.adaptation.__path__, "mfas.adaptation."):
        if module.name != __name__:
            importlib.import_module(module.name)
    load_entry_points()
