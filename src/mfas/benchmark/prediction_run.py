"""`mfas predict`: one capture, files to a decision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from mfas.card import Card
from mfas.config import Config
from mfas.core import MODALITIES, CaptureIds, Modality, Outcome, Prediction, format_modalities
from mfas.data.capture import NoFace, load_capture
from mfas.data.dataset import collate
from mfas.data.manifest import Manifest
from mfas.data.preprocess import Capture, preprocess
from mfas.errors import InputError
from mfas.models.store import load_model


class PredictConfig(Config):
    """Configuration of `mfas predict`. ``box`` is ``x,y,w,h`` in RGB pixels or ``full``; empty = find the face."""

    model: Path
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

    ``outcome`` is ``scored`` or ``non_response`` (no face found) with a ``reason``. Raises `ImageError`,
    `ModelDirError`, `ManifestError` (a malformed box).
    """
    model, card = load_model(config.model)
    files = {m: path for m, path in config.files().items() if m in card.modalities}
    if not files:
        raise InputError(f"expected an image the model was trained on ({format_modalities(card.modalities)}), got none")
    row: dict[str, object] = {m.value: str(path.absolute()) for m, path in files.items()}
    row |= {"box": config.box, "depth_scale_m": config.depth_scale_m, "depth_kind": config.depth_kind}
    manifest = Manifest.from_rows([row], Path.cwd())
    capture = load_capture(manifest.row(0), manifest.root, yunet=config.yunet)
    absent = format_modalities(m for m in MODALITIES if m not in files)
    common = {"model": card.model, "present": format_modalities(files), "missing": absent}
    if isinstance(capture, NoFace):
        return {"outcome": Outcome.NON_RESPONSE.value, "reason": capture.reason, "score": None, **common}
    batch = collate([preprocess(capture, card.preprocess)], CaptureIds.anonymous(1), card.preprocess)
    return {"outcome": Outcome.SCORED.value, **_answer(model.predict(batch), card, absent), **common, **_where(capture)}


def _answer(prediction: Prediction, card: Card, missing: str) -> dict[str, Any]:
    score, threshold = float(prediction.score[0]), card.threshold(missing)
    names = list(enumerate(MODALITIES))
    return {
        "score": score,
        "threshold": threshold,
        "decision": "bona_fide" if score >= threshold else "attack",
        "modality_scores": {
            m.value: float(prediction.modality_scores[0, k]) for k, m in names if bool(prediction.present[0, k])
        },
        "uncertainty": float(prediction.uncertainty[0]),
        "reliability": float(prediction.reliability[0]),
        "substituted": [m.value for k, m in names if bool(prediction.substituted[0, k])],
        "enhanced": {
            m.value: float(prediction.enhanced[0, k]) for k, m in names if float(prediction.enhanced[0, k]) > 0
        },
        "trained_on": list(card.sources),
    }


def _where(capture: Capture) -> dict[str, Any]:
    return {"box": "full" if capture.box is None else str(capture.box)}
