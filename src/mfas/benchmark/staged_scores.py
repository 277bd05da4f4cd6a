"""Simulated captures straight to scores, without files: what a search calls thousands of times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mfas._extras import needs
from mfas._files import sha256
from mfas.card import CARD_FILE, ONNX_FILE, Card
from mfas.core import CaptureIds, Modality
from mfas.data.box import Box
from mfas.data.preprocess import Capture, Planes, preprocess
from mfas.export.predictor import OnnxPredictor, stack
from mfas.simulation import Capture as Staged
from mfas.simulation import Site

Scores = Callable[[Sequence[Planes]], list[float]]


def open_scores(directory: Path, delta: Path | None, threads: int) -> tuple[Card, Scores]:
    """A model directory's card, and what gives captures their scores: the exported graph, else (or for a delta) torch.

    Raises `ModelDirError`, `StateError` (a delta of another model), `MissingExtraError`.
    """
    if delta is None and (directory / ONNX_FILE).is_file():
        predictor = OnnxPredictor(directory, threads=threads)
        return predictor.card, lambda planes: predictor.predict(*stack(planes)).score.tolist()
    with needs("mfas audit search"):
        import torch

        from mfas.adaptation.saving import deploy
        from mfas.data.dataset import collate
        from mfas.models.store import load_model
    if threads:
        torch.set_num_threads(threads)
    model, card = load_model(directory)
    if delta is not None:
        deploy(model, delta, {"model": sha256(directory / CARD_FILE)})

    def scores(planes: Sequence[Planes]) -> list[float]:
        found = model.predict(collate(planes, CaptureIds.anonymous(len(planes)), card.preprocess)).score.tolist()
        return [float(score) for score in found]

    return card, scores


def planes_of(capture: Staged, site: Site, card: Card, missing: Sequence[Modality] = ()) -> Planes:
    """Network input of a simulated capture: the pixels that its files would hold, without ``missing``."""
    images: dict[Modality, NDArray[Any]] = {
        Modality.RGB: capture.rgb,
        Modality.DEPTH: capture.depth,
        Modality.IR: capture.ir,
    }
    kept = {m: image for m, image in images.items() if m not in missing}
    box, shape = Box(*map(float, capture.box)), (capture.rgb.shape[0], capture.rgb.shape[1])
    return preprocess(Capture(kept, box, shape, site.depth.unit_mm / 1000), card.preprocess)
