"""Adapted state on disk: ``delta.safetensors`` (deployable), ``state.json``, ``resume.safetensors`` (to continue)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mfas._files import atomic_path, read_json, sha256, write_json
from mfas.adaptation.contract import AdaptedModel, AdapterState
from mfas.errors import StateError
from mfas.models.contract import FasModel

DELTA_FILE = "delta.safetensors"
STATE_FILE = "state.json"
RESUME_FILE = "resume.safetensors"


def save_state(adapter: AdaptedModel, directory: Path, origin: Mapping[str, Any], prefix: str = "") -> None:
    """Write the three files, ``state.json`` last (its presence says the others are whole).

    ``origin`` says what the state belongs to (model hash, site, …); ``prefix`` goes before each file name.
    """
    directory.mkdir(parents=True, exist_ok=True)
    state = adapter.state()
    _save(adapter.delta(), directory / f"{prefix}{DELTA_FILE}")
    _save(state.tensors, directory / f"{prefix}{RESUME_FILE}")
    files = {name: sha256(directory / f"{prefix}{name}") for name in (DELTA_FILE, RESUME_FILE)}
    write_json(
        directory / f"{prefix}{STATE_FILE}",
        {"format": 1, "origin": dict(origin), "files": files, "facts": dict(state.facts)},
    )


def load_state(adapter: AdaptedModel, directory: Path, origin: Mapping[str, Any], prefix: str = "") -> None:
    """Put ``adapter`` where `save_state` left it. Raises `StateError` when origin, hash, method or shapes differ."""
    record = _record(directory, origin, prefix)
    adapter.load_state(AdapterState(_read(directory, RESUME_FILE, record, prefix), record["facts"]))


def deploy(model: FasModel, directory: Path, origin: Mapping[str, Any]) -> None:
    """Put the ``delta.safetensors`` of an adapted state on top of its source model, in place.

    ``origin`` must hold the model's hash as `save_state` was given it. Raises `StateError` when the state belongs to
    another model, its file was changed, or a name or shape does not fit; the model is then untouched.
    """
    delta = _read(directory, DELTA_FILE, _record(directory, origin, ""), "")
    own = model.state_dict()
    for name, tensor in delta.items():
        if name not in own:
            raise StateError(f"{directory / DELTA_FILE}: the model has no tensor '{name}'")
        if tensor.shape != own[name].shape:
            raise StateError(
                f"{directory / DELTA_FILE}: expected '{name}' as {tuple(own[name].shape)}, got {tuple(tensor.shape)}"
            )
    with torch.no_grad():
        for name, tensor in delta.items():
            own[name].copy_(tensor)


def _record(directory: Path, origin: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    record: dict[str, Any] = read_json(directory / f"{prefix}{STATE_FILE}", "adaptation state", StateError)
    for key, value in origin.items():
        found = record.get("origin", {}).get(key)
        if found != value:
            raise StateError(f"{directory}: the state was made with {key} {found}, not {value}")
    return record


def _read(directory: Path, name: str, record: Mapping[str, Any], prefix: str) -> dict[str, torch.Tensor]:
    path = directory / f"{prefix}{name}"
    if not path.is_file():
        raise StateError(f"expected {name} of the adapted state, found none at {path}")
    if sha256(path) != record["files"][name]:
        raise StateError(f"{path} does not match its record in {STATE_FILE}")
    try:
        return load_file(path)
    except SafetensorError as reason:
        raise StateError(f"{path} is not a safetensors file: {reason}") from None


def _save(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    with atomic_path(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)
