"""`mfas export`: a model directory, or a state adapted from it, to one that runs without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from mfas._files import read_json, sha256
from mfas.adaptation.saving import DELTA_FILE, STATE_FILE, deploy
from mfas.card import CARD_FILE, INT8_FILE, ONNX_FILE, AdaptedFrom, Card
from mfas.config import Config, write_resolved
from mfas.data.capture import NoFace, load_capture
from mfas.data.manifest import read_manifest
from mfas.data.preprocess import Planes, preprocess
from mfas.errors import InputError, StateError
from mfas.export.onnx_file import OPSETS, TOLERANCE, export_onnx
from mfas.models.contract import FasModel
from mfas.models.families import load_families
from mfas.models.store import load_model


class ExportConfig(Config):
    """Configuration of `mfas export`. ``out`` may be the model's own directory: the graph is then put beside it.

    ``delta`` is the folder of a state adapted from ``model``; ``int8`` a manifest, of whose first ``int8_captures``
    half calibrate a second graph in eight bits, and half measure it.
    """

    model: Path
    out: Path
    delta: Path | None = None
    int8: Path | None = None
    int8_captures: int = Field(400, ge=1)
    opset: int = OPSETS[0]
    yunet: Path | None = None


def export(config: ExportConfig) -> dict[str, Any]:
    """Write ``OUT/model.onnx`` and ``OUT/card.json``, compared with the model on all seven patterns of modalities.

    With ``delta`` the card says what the weights were adapted from. With ``int8`` there is ``OUT/model.int8.onnx`` too,
    and the card holds its loss. Returns a JSON-safe summary. Raises `ModelDirError`, `StateError`, `ManifestError`, and
    `InputError` for a model that cannot be exported.
    """
    if config.delta is not None and config.out.resolve() == config.model.resolve():
        raise InputError(f"expected an out folder that is not the model's for an adapted state, got {config.out}")
    model, card = load_model(config.model)
    heads = load_families(model, card, config.model)
    if config.delta is not None:
        card = _adapted(model, card, config.model, config.delta)
    planes = _captures(config.int8, card, config) if config.int8 is not None else []
    done = export_onnx(model, card, config.out, config.opset, heads)
    card = done.card
    if config.int8 is not None:
        from mfas.export.int8 import export_int8

        card = export_int8(planes, config.out, sha256(config.int8))
    if config.out.resolve() != config.model.resolve():  # there, the configuration of the training stays
        write_resolved(config, config.out, "export")
    summary = {
        "out": str(config.out),
        "model": card.model,
        "bytes": (config.out / ONNX_FILE).stat().st_size,
        "largest_difference": done.difference,
        "tolerance": TOLERANCE,
        "files": sorted(card.files),
    }
    if config.int8 is not None and card.int8 is not None:
        summary["int8_bytes"] = (config.out / INT8_FILE).stat().st_size
        summary["int8_flips"] = card.int8.flips
        summary["int8_largest_difference"] = card.int8.largest_difference
    return summary


def _adapted(model: FasModel, card: Card, directory: Path, delta: Path) -> Card:
    """Put the state on the model, in place; returns a card that says so, without the source's files."""
    source = sha256(directory / CARD_FILE)
    deploy(model, delta, {"model": source})
    record = read_json(delta / STATE_FILE, "adaptation state", StateError)
    origin, facts = record["origin"], record["facts"]
    found = AdaptedFrom(
        source=source,
        method=origin["config"]["method"],
        missing=origin["config"]["missing"],
        sites=tuple(origin.get("sites", ())),
        manifest=origin["manifest"],
        delta=sha256(delta / DELTA_FILE),
        step=int(facts.get("step", 0)),
        updates=int(facts.get("updates", 0)),
    )
    return card.model_copy(update={"adapted": found, "int8": None, "source_mean": None, "files": {}})


def _captures(manifest: Path, card: Card, config: ExportConfig) -> list[Planes]:
    rows = read_manifest(manifest)
    found: list[Planes] = []
    for index in range(min(len(rows), config.int8_captures)):
        capture = load_capture(rows.row(index), rows.root, yunet=config.yunet)
        if not isinstance(capture, NoFace):
            planes = preprocess(capture, card.preprocess)
            found.append({m: x for m, x in planes.items() if m in card.modalities})
    return found
