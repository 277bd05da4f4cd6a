"""``model.int8.onnx``: convolutions in eight bits, calibrated on real captures, its loss measured on others.

Static quantisation by onnxruntime: ranges of the activations are taken from what the calibration captures make of them,
with every sensor and with each missing pattern, so that a zeroed modality does not surprise the ranges.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from mfas._files import atomic_path, sha256
from mfas.card import INT8_FILE, ONNX_FILE, Card, Int8Loss
from mfas.core import MISSING_PATTERNS, MODALITIES, Modality, parse_modalities
from mfas.data.preprocess import Planes
from mfas.errors import InputError
from mfas.export.predictor import OnnxPredictor, stack

FEWEST = 20
"""Captures without which there is nothing to calibrate on and to measure."""
_BATCH = 32


def export_int8(planes: Sequence[Planes], out: Path, manifest: str) -> Card:
    """Quantise ``OUT/model.onnx`` into ``OUT/model.int8.onnx``; every second capture calibrates, the others measure.

    ``planes`` are captures as `mfas.data.preprocess.preprocess` returns them, ``manifest`` the SHA-256 of where they
    come from. Returns the card as written, with ``int8``. Raises `InputError` for fewer than `FEWEST` captures.
    """
    if len(planes) < FEWEST:
        raise InputError(f"expected at least {FEWEST} captures with a face to calibrate int8 on, got {len(planes)}")
    seen, held_out = planes[::2], planes[1::2]
    card = Card.read(out)
    with TemporaryDirectory() as folder, atomic_path(out / INT8_FILE) as temporary:
        prepared = Path(folder) / ONNX_FILE
        _quietly(lambda: quant_pre_process(str(out / ONNX_FILE), str(prepared), skip_symbolic_shape=True))
        _quietly(
            lambda: quantize_static(
                str(prepared),
                str(temporary),
                _Reader(_feeds(card, seen)),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=["Conv"],
            )
        )
    written = card.model_copy(update={"files": {**card.files, INT8_FILE: sha256(out / INT8_FILE)}})
    written.write(out)
    loss = int8_loss(held_out, out, calibrated_on=len(seen), manifest=manifest)
    written = written.model_copy(update={"int8": loss})
    written.write(out)
    return written


def int8_loss(planes: Sequence[Planes], directory: Path, *, calibrated_on: int, manifest: str) -> Int8Loss:
    """Decisions and scores of the two graphs over ``planes`` under each missing pattern that leaves them something."""
    plain, small = OnnxPredictor(directory), OnnxPredictor(directory, precision="int8")
    flips: dict[str, float] = {}
    worst = 0.0
    for missing in MISSING_PATTERNS:
        left = [part for part in _reduced(planes, missing) if part]
        if not left:
            continue
        one, two = (_scores(predictor, left) for predictor in (plain, small))
        threshold = plain.card.threshold(missing)
        flips[missing] = float(np.mean((one >= threshold) != (two >= threshold)))
        worst = max(worst, float(np.abs(one - two).max()))
    return Int8Loss(
        manifest=manifest, calibrated_on=calibrated_on, captures=len(planes), flips=flips, largest_difference=worst
    )


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime tells no types
    def __init__(self, feeds: Iterator[dict[str, NDArray[Any]]]) -> None:
        self._feeds = feeds

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._feeds, None)


def _feeds(card: Card, planes: Sequence[Planes]) -> Iterator[dict[str, NDArray[Any]]]:
    """Calibration input, the missing patterns in turn."""
    patterns = [MISSING_PATTERNS[k % len(MISSING_PATTERNS)] for k in range(len(planes))]
    mixed = [_reduced([item], missing)[0] or item for item, missing in zip(planes, patterns, strict=True)]
    size = card.preprocess.size
    for start in range(0, len(mixed), _BATCH):
        images, present = stack(mixed[start : start + _BATCH])
        feed: dict[str, NDArray[Any]] = {"present": present}
        for m in MODALITIES:
            blank = np.zeros((len(present), card.preprocess.channels(m), size, size), np.float32)
            feed[m.value] = images.get(m, blank)
        yield feed


def _reduced(planes: Sequence[Planes], missing: str) -> list[dict[Modality, NDArray[np.float32]]]:
    gone = parse_modalities(missing)
    return [{m: plane for m, plane in item.items() if m not in gone} for item in planes]


def _scores(predictor: OnnxPredictor, planes: Sequence[Mapping[Modality, NDArray[np.float32]]]) -> NDArray[np.float32]:
    parts = [predictor.predict(*stack(planes[i : i + _BATCH])).score for i in range(0, len(planes), _BATCH)]
    return np.concatenate(parts)


def _quietly(work: Callable[[], object]) -> None:
    """Without the advice on its own options that the quantiser prints on the root logger."""
    before = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        work()
    finally:
        logging.root.setLevel(before)
