"""Methods and guards from outside the package: entry points of group ``mfas.methods``, and single Python files."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

from mfas._files import sha256
from mfas.errors import ConfigError

GROUP = "mfas.methods"
"""Entry points of an installed package that name modules whose import registers methods."""

_PREFIX = "mfas_plugin_"


def load_plugin(path: Path) -> None:
    """Run a Python file that registers methods or guards; the same content is run once per process.

    The file is code and runs with all rights of the caller. Raises `ConfigError` when it is not there or fails.
    """
    if path.suffix != ".py" or not path.is_file():
        raise ConfigError(f"expected a Python file as plug-in, got {path}")
    name = f"{_PREFIX}{path.stem}_{sha256(path)[:16]}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as reason:
        del sys.modules[name]
        raise ConfigError(f"plug-in {path} cannot be loaded: {type(reason).__name__}: {reason}") from reason


@cache
def load_entry_points() -> None:
    """Import what installed packages declare under `GROUP`; `ConfigError` names one that fails."""
    for point in metadata.entry_points(group=GROUP):
        try:
            point.load()
        except Exception as reason:
            raise ConfigError(
                f"entry point '{point.name}' of {GROUP} cannot be loaded: {type(reason).__name__}: {reason}"
            ) from reason


def origin(cls: type) -> str:
    """The module of ``cls``; that of a plug-in file without the hash of its content: an edited one may come anew."""
    return cls.__module__.rpartition("_")[0] if cls.__module__.startswith(_PREFIX) else cls.__module__


def outside_digest(cls: type) -> str:
    """SHA-256 of the file that defines ``cls``; empty for a class of this package."""
    if cls.__module__.partition(".")[0] == "mfas":
        return ""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return sha256(Path(file)) if file else ""
