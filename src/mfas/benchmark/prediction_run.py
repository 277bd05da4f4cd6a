"""`mfas predict`: one capture, files to a decision; with torch, or with onnxruntime where there is no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from mfas._extras import needs
from mfas._files import sha256
from mfas.card import CARD_FILE, ONNX_FILE, Card
from mfas.config import Config
from mfas.core import MODALITIES, CaptureIds, Modality, Outcome, Prediction, format_modalities, parse_modalities
from mfas.data.capture import NoFace, load_capture
from mfas.data.manifest import Manifest
from mfas.data.preprocess import Capture, Planes, preprocess
from mfas.data.quality import quality_flags
from mfas.errors import InputError
from mfas.export.answer import answer
from mfas.export.record import as_json, decision_record, no_decision
from mfas.weights import default_directory

if TYPE_CHECKING:
    from mfas.export.predictor import OnnxPrediction

Score = Callable[[Planes], "Prediction | OnnxPrediction"]
"""One capture to what a model says of it, as a batch of one."""


class PredictConfig(Config):
    """Configuration of `mfas predict`. ``box`` is ``x,y,w,h`` in RGB pixels or ``full``; empty = find the face.

    ``model`` None = the default weights of the package. ``delta`` is the folder of an adapted state, put on top of the
    model it was adapted from.
    """

    model: Path | None = None
    delta: Path | None = None
    rgb: Path | None = None
    depth: Path | None = None
    ir: Path | None = None
    box: str = ""
    depth_scale_m: float = Field(0.001, gt=0)
    depth_kind: str = "metric"
    yunet: Path | None = None

    @model_validator(mode="after")
    def _something(self) -> PredictConfig:
        if not self.files():
            raise ValueError("expected at least one of rgb, depth, ir, got none")
        return self

    def files(self) -> dict[Modality, Path]:
        """The images that were given."""
        named = {Modality.RGB: self.rgb, Modality.DEPTH: self.depth, Modality.IR: self.ir}
        return {m: path for m, path in named.items() if path is not None}


def predict(config: PredictConfig) -> dict[str, Any]:
    """Find the face, crop, score, decide at the card's threshold for what is missing; returns a JSON-safe answer.

    ``outcome`` is ``scored`` or ``non_response`` (no face found) with a ``reason``; ``notice`` is what the card tells
    with every answer, if anything; ``record`` is the decision record (`mfas.export.record`). Thresholds stay the source
    model's. Raises `ImageError`, `ModelDirError` (also when no model is given and the package has none),
    `ManifestError` (a malformed box), `StateError` (a delta of another model), `MissingExtraError`.
    """
    directory = config.model or default_directory()
    card, score = _model(directory, config.delta)
    capture, common = read_files(config, card)
    if isinstance(capture, NoFace):
        return non_response(capture, common)
    planes = preprocess(capture, card.preprocess)
    return decided(score(planes), planes, capture, card, common, sha256(directory / CARD_FILE))


def read_files(config: PredictConfig, card: Card) -> tuple[Capture | NoFace, dict[str, Any]]:
    """The capture, with its face found, and what every answer about it says; errors as in `predict`."""
    files = {m: path for m, path in config.files().items() if m in card.modalities}
    if not files:
        raise InputError(f"expected an image the model was trained on ({format_modalities(card.modalities)}), got none")
    row: dict[str, object] = {m.value: str(path.absolute()) for m, path in files.items()}
    row |= {"box": config.box, "depth_scale_m": config.depth_scale_m, "depth_kind": config.depth_kind}
    manifest = Manifest.from_rows([row], Path.cwd())
    capture = load_capture(manifest.row(0), manifest.root, yunet=config.yunet)
    absent = format_modalities(m for m in MODALITIES if m not in files)
    return capture, {"model": card.model, "present": format_modalities(files), "missing": absent, **card.told()}


def non_response(lost: NoFace, common: Mapping[str, Any]) -> dict[str, Any]:
    """What is said where there is no face; ``common`` as `read_files` gives it."""
    record = no_decision(parse_modalities(common["present"]), parse_modalities(common["missing"]), lost.reason)
    silent = {"outcome": Outcome.NON_RESPONSE.value, "reason": lost.reason, "score": None}
    return {**silent, **common, "record": as_json(record)}


def decided(
    prediction: Prediction | OnnxPrediction,
    planes: Planes,
    capture: Capture,
    card: Card,
    common: Mapping[str, Any],
    model_id: str,
) -> dict[str, Any]:
    """What is said of a capture that was scored from ``planes``; ``common`` as `read_files` gives it."""
    missing = common["missing"]
    flags = quality_flags(planes, card.preprocess)
    record = decision_record(prediction, card, missing, model_id=model_id, flags=flags)
    box = "full" if capture.box is None else str(capture.box)
    told = {"outcome": Outcome.SCORED.value, **answer(prediction, card, missing), "box": box}
    return {**told, **common, "record": as_json(record)}


def _model(directory: Path, delta: Path | None) -> tuple[Card, Score]:
    """The exported graph where there is one, as in bulk scoring and the service; else, or for a delta, the weights."""
    if delta is None and (directory / ONNX_FILE).is_file():
        return _onnx_model(directory)
    with needs("mfas predict"):
        from mfas.adaptation.saving import deploy
        from mfas.data.dataset import collate
        from mfas.models.families import load_families, predict_with_families
        from mfas.models.store import load_model
    model, card = load_model(directory)
    heads = load_families(model, card, directory)
    if delta is not None:
        deploy(model, delta, {"model": sha256(directory / CARD_FILE)})

    def score(planes: Planes) -> Prediction:
        return predict_with_families(model, heads, collate([planes], CaptureIds.anonymous(1), card.preprocess))

    return card, score


def _onnx_model(directory: Path) -> tuple[Card, Score]:
    from mfas.export.predictor import OnnxPredictor, stack

    predictor = OnnxPredictor(directory)
    return predictor.card, lambda planes: predictor.predict(*stack([planes]))
