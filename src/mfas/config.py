"""Configuration: frozen pydantic models from YAML and ``--set key=value``, written back resolved.

Every verb has one `Config` subclass. Values come in this order, later ones winning: field defaults, the YAML file,
what the command line names, ``--set`` pairs.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from mfas._files import write_json
from mfas.errors import ConfigError

ConfigT = TypeVar("ConfigT", bound=BaseModel)


class Config(BaseModel):
    """Base of every configuration: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def resolve(
        cls,
        file: Path | None = None,
        overrides: Sequence[str] = (),
        given: Mapping[str, Any] | None = None,
    ) -> Self:
        """Build the configuration of a verb.

        ``overrides`` are ``"key=value"`` texts, ``key`` dotted for nested fields, ``value`` read as YAML. ``given`` are
        the values named on the command line; None means "not named". Raises `ConfigError` naming the key.
        """
        values: dict[str, Any] = read_yaml(file) if file is not None else {}
        values |= {key: value for key, value in (given or {}).items() if value is not None}
        for pair in overrides:
            _set(values, pair)
        return parse(cls, values, str(file) if file is not None else "configuration")


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping (safe loader only)."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError:
        raise ConfigError(f"expected a YAML file, found none at {path}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as reason:
        raise ConfigError(f"{path} is not valid YAML: {str(reason).splitlines()[0]}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"expected a mapping of keys in {path}, got {type(content).__name__}")
    return content


def parse(cls: type[ConfigT], values: Mapping[str, Any], origin: str) -> ConfigT:
    """Validate ``values`` as ``cls``; the first fault becomes one sentence that names the key."""
    try:
        return cls.model_validate(dict(values))
    except ValidationError as reason:
        fault = reason.errors()[0]
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            raise ConfigError(f"{origin}: unknown key '{key}'") from None
        if fault["type"] == "missing":
            raise ConfigError(f"{origin}: expected a value for '{key}', got none") from None
        if fault["type"] in ("union_tag_invalid", "union_tag_not_found"):
            key += "." + str(fault["ctx"]["discriminator"]).strip("'")
            if "tag" not in fault["ctx"]:
                raise ConfigError(f"{origin}: expected a value for '{key}', got none") from None
            known = str(fault["ctx"]["expected_tags"]).replace("'", "")
            raise ConfigError(f"{origin}: '{key}': expected one of {known}, got {fault['ctx']['tag']}") from None
        message = fault["msg"].removeprefix("Value error, ").replace("Input should be", "expected it to be")
        shown = "" if isinstance(fault["input"], dict) or ", got " in message else f", got {fault['input']!r}"
        raise ConfigError(f"{origin}: '{key}': {message}{shown}" if key else f"{origin}: {message}") from None


def write_resolved(config: BaseModel, directory: Path, verb: str, *, name: str = "config.json", **facts: Any) -> None:
    """Write ``DIR/NAME``: the verb, its resolved configuration, versions, and any further ``facts``."""
    write_json(
        directory / name,
        {"verb": verb, "config": config.model_dump(mode="json"), **facts, "environment": environment()},
    )


def environment() -> dict[str, str]:
    """Versions that a result depends on: this package, Python, platform, and the libraries that are installed."""
    versions = {"python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}"}
    for name in ("mfas", "numpy", "scipy", "scikit-learn", "opencv-python-headless", "pyarrow", "onnxruntime", "torch"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _set(values: dict[str, Any], pair: str) -> None:
    key, sign, text = pair.partition("=")
    if not sign or not key.strip():
        raise ConfigError(f"expected --set key=value, got '{pair}'")
    *parents, last = key.strip().split(".")
    node = values
    for parent in parents:
        child = node.setdefault(parent, {})
        if not isinstance(child, dict):
            raise ConfigError(f"--set {key}: '{parent}' is not a group of keys")
        node = child
    try:
        node[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {key}: value is not valid YAML, got '{text}'") from None
