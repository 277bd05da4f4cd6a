"""Model directories: ``model.safetensors`` + ``card.json``, written whole, hashes checked before weights are read."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mfas._files import atomic_path, sha256
from mfas.card import WEIGHTS_FILE, Card
from mfas.errors import ModelDirError
from mfas.models.contract import FasModel
from mfas.models.registry import create
from mfas.weights import default_directory


def save_model(model: FasModel, card: Card, directory: Path) -> Card:
    """Write weights, then the card with their SHA-256; returns the card as written."""
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with atomic_path(directory / WEIGHTS_FILE) as temporary:
        save_file(tensors, temporary)
    written = card.model_copy(update={"files": {**card.files, WEIGHTS_FILE: sha256(directory / WEIGHTS_FILE)}})
    written.write(directory)
    return written


def load_model(directory: Path) -> tuple[FasModel, Card]:
    """Read a model directory, in eval mode. Raises `ModelDirError` when card, hash, names or shapes do not fit."""
    card = Card.read(directory)
    if WEIGHTS_FILE not in card.files:
        raise ModelDirError(f"{directory}: the card lists no hash for {WEIGHTS_FILE}")
    model = create(card.model, card.preprocess, card.architecture)
    try:
        tensors = load_file(directory / WEIGHTS_FILE)
    except SafetensorError as reason:
        raise ModelDirError(f"{directory / WEIGHTS_FILE} is not a safetensors file: {reason}") from None
    load_tensors(model, tensors, str(directory / WEIGHTS_FILE))
    return model.eval(), card


def load_default() -> tuple[FasModel, Card]:
    """The default weights of the package as `load_model` reads them; `ModelDirError` where there are none.

    They were trained on simulated captures only: read ``card.notice``.
    """
    return load_model(default_directory())


def load_tensors(model: FasModel, tensors: dict[str, torch.Tensor], origin: str) -> None:
    """Load a full state; the first name or shape that differs is named."""
    own = model.state_dict()
    for name, tensor in own.items():
        if name not in tensors:
            raise ModelDirError(f"{origin}: expected tensor '{name}', found none")
        if tensors[name].shape != tensor.shape:
            raise ModelDirError(
                f"{origin}: expected '{name}' as {tuple(tensor.shape)}, got {tuple(tensors[name].shape)}"
            )
    extra = sorted(set(tensors) - set(own))
    if extra:
        raise ModelDirError(f"{origin}: unexpected tensor '{extra[0]}'")
    model.load_state_dict(tensors)
