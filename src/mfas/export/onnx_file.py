"""A trained model to ``model.onnx`` + ``card.json``, checked against the model it came from."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxscript  # noqa: F401 - so that a missing extra is told before any work is done
import torch

from mfas._files import atomic_path, make_folder, sha256
from mfas.card import ONNX_FILE, Card
from mfas.core import MODALITIES, Batch, CaptureIds, Modality
from mfas.errors import InputError
from mfas.export.masked import MaskedModel
from mfas.export.predictor import INPUTS, OUTPUTS, OnnxPredictor
from mfas.models.contract import FasModel
from mfas.models.families import FamilyHeads, predict_with_families

TOLERANCE = 1e-4
"""Largest difference of any output between the model and its file."""

OPSETS = (18, 19, 20, 21)
"""ONNX operator sets that a graph can be written in; the first unless another is asked for."""


@dataclass(frozen=True, slots=True)
class Exported:
    """The card as written, and the largest difference found by the check."""

    card: Card
    difference: float


def export_onnx(
    model: FasModel, card: Card, out: Path, opset: int = OPSETS[0], heads: FamilyHeads | None = None
) -> Exported:
    """Write ``OUT/model.onnx`` and ``OUT/card.json``, then compare both on every pattern of modalities.

    The graph takes ``rgb``, ``depth``, ``ir`` float32 ``[B, C, S, S]`` and ``present`` bool ``[B, 3]``, any B. With
    ``heads``, those that the card describes, it returns their scores too. Files of the card that lie in ``out`` stay
    listed. Raises `InputError` for a model that has no such graph, for an ``opset``
    that is not in `OPSETS`, and for a file that differs by more than `TOLERANCE`.
    """
    if opset not in OPSETS:
        raise InputError(f"expected opset out of {', '.join(map(str, OPSETS))}, got {opset}")
    make_folder(out)
    graph = MaskedModel(model, heads)
    example = _example(card, torch.ones(2, len(MODALITIES), dtype=torch.bool), seed=0)
    with atomic_path(out / ONNX_FILE) as temporary:
        _write(graph, (*example.images.values(), example.present), temporary, opset)
    kept = {name: digest for name, digest in card.files.items() if _lies_in(out, name, digest)}
    written = card.model_copy(update={"files": {**kept, ONNX_FILE: sha256(out / ONNX_FILE)}})
    written.write(out)
    difference = parity(model, out, heads)
    if difference > TOLERANCE:
        raise InputError(f"expected {out / ONNX_FILE} to differ by at most {TOLERANCE:g}, got {difference:.2g}")
    return Exported(written, difference)


def parity(model: FasModel, directory: Path, heads: FamilyHeads | None = None) -> float:
    """Largest absolute difference of any output, over the seven patterns of modalities mixed in one batch and alone."""
    patterns = torch.tensor([[p >> k & 1 for k in range(3)] for p in range(1, 8)], dtype=torch.bool)
    predictor = OnnxPredictor(directory)
    whole = _example(predictor.card, patterns, seed=1)
    parts = [whole, *(whole.select(torch.tensor([row])) for row in range(len(patterns)))]
    return max(_difference(model, heads, predictor, part) for part in parts)


def _lies_in(folder: Path, name: str, digest: str) -> bool:
    return (folder / name).is_file() and sha256(folder / name) == digest


def _difference(model: FasModel, heads: FamilyHeads | None, predictor: OnnxPredictor, batch: Batch) -> float:
    prediction = predict_with_families(model, heads, batch)
    theirs = predictor.predict({m: x.numpy() for m, x in batch.images.items()}, batch.present.numpy())
    pairs = [(getattr(prediction, name), getattr(theirs, name)) for name in OUTPUTS]
    pairs += [(prediction.extras[name], theirs.extras[name]) for name in theirs.extras]
    worst = 0.0
    for tensor, two in pairs:
        one = tensor.numpy()
        if one.shape != two.shape or not np.array_equal(np.isnan(one.astype(float)), np.isnan(two.astype(float))):
            return float("inf")
        worst = max(worst, float(np.nanmax(np.abs(one.astype(float) - two.astype(float)), initial=0.0)))
    return worst


def _example(card: Card, present: torch.Tensor, seed: int) -> Batch:
    """Noise in the range of network input; zeros where absent."""
    generator, spec = torch.Generator().manual_seed(seed), card.preprocess
    images: dict[Modality, torch.Tensor] = {}
    for column, modality in enumerate(MODALITIES):
        shape = (len(present), spec.channels(modality), spec.size, spec.size)
        noise = torch.rand(shape, generator=generator) * 2 - 1
        images[modality] = noise * present[:, column].view(-1, 1, 1, 1)
    return Batch(images, present, CaptureIds.anonymous(len(present)))


def _write(graph: MaskedModel, example: tuple[Any, ...], path: Path, opset: int) -> None:
    count = torch.export.Dim("captures")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph,
            example,
            dynamo=True,
            opset_version=opset,
            input_names=list(INPUTS),
            output_names=list(graph.outputs),
            dynamic_shapes={name: {0: count} for name in INPUTS},
            verbose=False,
        )
        assert program is not None
        _strip(program.model)
        program.save(path, external_data=False)


def _strip(model: Any) -> None:
    """Drop what the exporter notes of the source code it saw: a megabyte that names folders of this machine."""
    model.metadata_props.clear()
    for graph in (model.graph, *model.functions.values()):
        graph.metadata_props.clear()
        for node in graph.all_nodes():
            node.metadata_props.clear()
            node.doc_string = None
            for value in node.outputs:
                value.metadata_props.clear()
        for value in (*graph.inputs, *getattr(graph, "initializers", {}).values()):
            value.metadata_props.clear()
