"""`mfas export`: a model directory to one that runs without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mfas.card import ONNX_FILE
from mfas.config import Config, write_resolved
from mfas.export.onnx_file import TOLERANCE, export_onnx
from mfas.models.store import load_model


class ExportConfig(Config):
    """Configuration of `mfas export`. ``out`` may be the model's own directory: the graph is then put beside it."""

    model: Path
    out: Path


def export(config: ExportConfig) -> dict[str, Any]:
    """Write ``OUT/model.onnx`` and ``OUT/card.json``, compared with the model on all seven patterns of modalities.

    Returns a JSON-safe summary. Raises `ModelDirError`, and `InputError` for a model that cannot be exported.
    """
    model, card = load_model(config.model)
    done = export_onnx(model, card, config.out)
    if config.out.resolve() != config.model.resolve():  # there, the configuration of the training stays
        write_resolved(config, config.out, "export")
    return {
        "out": str(config.out),
        "model": card.model,
        "bytes": (config.out / ONNX_FILE).stat().st_size,
        "largest_difference": done.difference,
        "tolerance": TOLERANCE,
        "files": sorted(done.card.files),
    }
