"""Adapted state on disk: ``delta.safetensors`` (deployable), ``state.json``, ``resume.safetensors`` (to continue)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mfas._files import atomic_path, read_json, sha256, write_json
from mfas.adaptation.contract import Adapter, AdapterState
from mfas.errors import StateError

DELTA_FILE = "delta.safetensors"
STATE_FILE = "state.json"
RESUME_FILE = "resume.safetensors"


def save_state(adapter: Adapter, directory: Path, origin: Mapping[str, Any], prefix: str = "") -> None:
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


def load_state(adapter: Adapter, directory: Path, origin: Mapping[str, Any], prefix: str = "") -> None:
    """Put ``adapter`` where `save_state` left it. Raises `StateError` when origin, hash, method or shapes differ."""
    record = read_json(directory / f"{prefix}{STATE_FILE}", "adaptation state", StateError)
    for key, value in origin.items():
        found = record.get("origin", {}).get(key)
        if found != value:
            raise StateError(f"{directory}: the state was made with {key} {found}, not {value}")
    path = directory / f"{prefix}{RESUME_FILE}"
    if not path.is_file():
        raise StateError(f"{path} is needed to continue and is not there")
    if sha256(path) != record["files"][RESUME_FILE]:
        raise StateError(f"{path} does not match its record in {STATE_FILE}")
    try:
        tensors = load_file(path)
    except SafetensorError as reason:
        raise StateError(f"{path} is not a safetensors file: {reason}") from None
    adapter.load_state(AdapterState(tensors, record["facts"]))


def _save(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    with atomic_path(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)
