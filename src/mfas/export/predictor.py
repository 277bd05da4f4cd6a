"""Scores from an exported model with onnxruntime: no torch, the same answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mfas.card import INT8_FILE, ONNX_FILE, Card
from mfas.core import MODALITIES, Modality
from mfas.errors import InputError, ModelDirError

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

Precision = Literal["fp32", "int8"]
INPUTS = (*(m.value for m in MODALITIES), "present")
"""What a graph takes, by name."""
OUTPUTS = ("score", "modality_scores", "uncertainty", "reliability", "substituted", "enhanced")
"""What every graph returns, in this order; see `mfas.core.Prediction`."""
RESIDUALS, FAMILIES = "residuals", "families"
EXTRAS = (RESIDUALS, FAMILIES)
"""What a graph may return besides: complement residuals ``[B, 3]``, scores of attack-family heads ``[B, K]``."""


@dataclass(frozen=True, slots=True)
class OnnxPrediction:
    """What a model says of a batch, as arrays; fields mean what those of `mfas.core.Prediction` mean.

    ``score``, ``uncertainty``, ``reliability`` float32 ``[B]``; ``modality_scores`` (NaN where not observed) and
    ``enhanced`` float32 ``[B, 3]``; ``present`` and ``substituted`` bool ``[B, 3]``. ``extras`` holds what the graph
    has of `EXTRAS`.
    """

    score: Floats
    modality_scores: Floats
    uncertainty: Floats
    reliability: Floats
    substituted: Bools
    enhanced: Floats
    present: Bools
    extras: Mapping[str, Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.score)


class OnnxPredictor:
    """The model of a directory that holds ``model.onnx`` and ``card.json``.

    ``threads`` 0 = as many as onnxruntime chooses; ``precision`` int8 takes ``model.int8.onnx``. Raises `ModelDirError`
    when the card lists no such file, a hash does not fit, onnxruntime refuses it, or the graph is not one of a model
    with this card: an input or output that is not there, or a size that differs, is named.
    """

    def __init__(self, directory: Path, *, threads: int = 0, precision: Precision = "fp32") -> None:
        self.card = Card.read(directory)
        name = ONNX_FILE if precision == "fp32" else INT8_FILE
        if name not in self.card.files:
            option = "" if precision == "fp32" else " with --int8"
            raise ModelDirError(f"{directory}: the card lists no hash for {name}; mfas export{option} writes one")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        path = directory / name
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as reason:  # onnxruntime's errors share no public base
            raise ModelDirError(f"{path} is not a model onnxruntime can run: {_first(reason)}") from None
        self._extras = self._check(path)

    def _check(self, path: Path) -> tuple[str, ...]:
        """Names of the further outputs that this graph has and its card knows."""
        takes = {value.name: value.shape[1:] for value in self._session.get_inputs()}
        gives = {value.name: value.shape for value in self._session.get_outputs()}
        for what, wanted, found in (("input", INPUTS, takes.keys()), ("output", OUTPUTS, gives.keys())):
            lacking = [name for name in wanted if name not in found]
            if lacking:
                raise ModelDirError(f"{path}: expected {what} '{lacking[0]}' in the graph, got {', '.join(found)}")
        spec = self.card.preprocess
        for m in MODALITIES:
            shape = [spec.channels(m), spec.size, spec.size]
            if takes[m.value] != shape:
                raise ModelDirError(f"{path}: expected {m} as {shape} by its card, got {takes[m.value]} in the graph")
        heads = self.card.families
        if heads is not None and FAMILIES in gives and gives[FAMILIES][1:] != [len(heads.names)]:
            raise ModelDirError(f"{path}: expected {len(heads.names)} families by its card, got {gives[FAMILIES]}")
        return tuple(name for name in EXTRAS if name in gives and (name != FAMILIES or heads is not None))

    def predict(self, images: Mapping[Modality, Floats], present: Bools) -> OnnxPrediction:
        """Scores of a batch of any size.

        ``images[m]`` float32 ``[B, C_m, S, S]`` as `mfas.data.preprocess` makes it, a modality nobody has left out;
        ``present`` bool ``[B, 3]`` with at least one true entry per row. Absent rows are not read. Raises `InputError`
        for wrong shapes, an empty row, or values that are not finite.
        """
        present = np.asarray(present, np.bool_)
        if present.ndim != 2 or present.shape[1] != len(MODALITIES):
            raise InputError(f"expected present as bool [B, 3], got {present.shape}")
        if not present.any(axis=1).all():
            raise InputError("expected at least one modality per capture, got a capture with none")
        feed: dict[str, NDArray[Any]] = {"present": present}
        for column, modality in enumerate(MODALITIES):
            feed[modality.value] = self._image(images.get(modality), modality, present[:, column])
        names = (*OUTPUTS, *self._extras)
        found = dict(zip(names, self._session.run(names, feed), strict=True))
        extras = {name: found.pop(name) for name in self._extras}
        return OnnxPrediction(**found, present=present, extras=extras)

    def _image(self, image: Floats | None, modality: Modality, rows: Bools) -> Floats:
        spec = self.card.preprocess
        shape = (len(rows), spec.channels(modality), spec.size, spec.size)
        if image is None:
            if rows.any():
                raise InputError(f"expected {modality} images, got none though present marks some")
            return np.zeros(shape, np.float32)
        if image.shape != shape:
            raise InputError(f"expected {modality} as float32 {shape}, got {image.dtype} {image.shape}")
        out = np.where(rows[:, None, None, None], image, 0).astype(np.float32)
        if not np.isfinite(out).all():
            raise InputError(f"expected finite {modality} images, got NaN or Inf")
        return out


def stack(planes: Sequence[Mapping[Modality, Floats]]) -> tuple[dict[Modality, Floats], Bools]:
    """Captures as `mfas.data.preprocess.preprocess` returns them to ``images`` and ``present`` of `predict`."""
    present = np.array([[m in item for m in MODALITIES] for item in planes], np.bool_)
    images: dict[Modality, Floats] = {}
    for modality in MODALITIES:
        shapes = [item[modality].shape for item in planes if modality in item]
        if shapes:
            blank = np.zeros(shapes[0], np.float32)
            images[modality] = np.stack([item.get(modality, blank) for item in planes])
    return images, present


def _first(reason: Exception) -> str:
    return (str(reason).splitlines() or [type(reason).__name__])[0]
