"""The default weights: a small model trained on simulated captures only, shipped inside the package.

``default/`` holds ``model.safetensors``, ``families.safetensors``, ``model.onnx`` and ``card.json``, made by
``benchmarks/default_weights.py``; the heads were added by ``mfas families`` (``docs/default_weights.md``).
"""

from __future__ import annotations

from pathlib import Path

from mfas.card import CARD_FILE
from mfas.errors import ModelDirError

__all__ = ["default_directory"]

FOLDER = Path(__file__).parent / "default"
"""Where they lie; a model directory like any other."""


def default_directory() -> Path:
    """The model directory inside the package; `ModelDirError` where an installation has none."""
    if not (FOLDER / CARD_FILE).is_file():
        raise ModelDirError("expected a model directory, given as --model: this installation has no default weights")
    return FOLDER
