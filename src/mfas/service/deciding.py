"""One capture, from the bytes of a request to a decision, an outcome without one, or `ImageError`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mfas.card import Card
from mfas.core import MODALITIES, Modality, format_modalities, parse_modalities
from mfas.data.capture import NoFace, capture_of
from mfas.data.images import METRIC
from mfas.data.preprocess import Capture, Planes, preprocess
from mfas.data.quality import quality_flags
from mfas.export.answer import answer
from mfas.export.record import DecisionRecord, decision_record, no_decision
from mfas.service.decoding import MAX_PIXELS, decode
from mfas.service.inference import Scorer

if TYPE_CHECKING:
    from mfas.core import Prediction
    from mfas.export.predictor import OnnxPrediction

DIGITS = 3
"""Decimals of a score that go out and into the store: enough to decide by, too few to climb by."""


class Outcome(StrEnum):
    """What became of a capture. The last two are answers, not errors: the request was in order."""

    SCORED = "scored"
    NO_FACE = "no_face"
    CANNOT_JUDGE = "cannot_judge"


@dataclass(frozen=True, slots=True)
class Given:
    """A capture as it came: bytes of images, and what the caller says of them (the words of a manifest row).

    Pseudonyms are the caller's; None = not told. ``name`` tells captures of one request apart in sentences.
    """

    images: Mapping[Modality, bytes]
    box: str = ""
    depth_scale_m: float = 0.001
    depth_kind: str = METRIC
    subject: str | None = None
    device: str | None = None
    session: str | None = None
    nonce: str | None = None
    name: str = "0"


@dataclass(frozen=True, slots=True)
class Rules:
    """What is judged at all: pixels of an image, shortest side of a face in pixels, and the face detector's file."""

    pixels: int = MAX_PIXELS
    smallest_face: int = 32
    yunet: Path | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """A capture that can be scored: network input, and what it has and lacks, as in a score table."""

    planes: Planes
    present: str
    missing: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What is known of a capture. ``said`` is what `mfas.export.answer.answer` says, unrounded; empty if not scored.

    ``record`` is the decision record, its numbers rounded to `DIGITS`.
    """

    outcome: Outcome
    present: str
    missing: str
    record: DecisionRecord
    reason: str | None = None
    said: Mapping[str, Any] = field(default_factory=dict)
    planes: Planes | None = None


def prepare(given: Given, card: Card, rules: Rules) -> Ready | Decision:
    """Decode, find the face, crop and scale. Raises `ImageError` for images that cannot be used."""
    used = [m for m in MODALITIES if m in given.images and m in card.modalities]
    present = format_modalities(used)
    missing = format_modalities(m for m in MODALITIES if m not in used)

    def unjudged(outcome: Outcome, reason: str) -> Decision:
        return _unjudged(outcome, present, missing, reason)

    if not used:
        return unjudged(Outcome.CANNOT_JUDGE, f"the model judges {format_modalities(card.modalities)} only")
    if missing not in card.thresholds:
        return unjudged(Outcome.CANNOT_JUDGE, f"the model has no threshold for captures without {missing}")
    if not given.box and used == [Modality.DEPTH]:
        return unjudged(Outcome.CANNOT_JUDGE, "a face is not looked for in depth alone; give a box")
    images = {m: decode(given.images[m], m, given.depth_kind, rules.pixels) for m in used}
    unit = {"depth_scale_m": given.depth_scale_m, "depth_kind": given.depth_kind}
    capture = capture_of(images, name=given.name, box=given.box, yunet=rules.yunet, **unit)  # type: ignore[arg-type]
    if isinstance(capture, NoFace):
        return unjudged(Outcome.NO_FACE, capture.reason)
    side = _side(capture)
    if side < rules.smallest_face:
        needed = f"at least {rules.smallest_face} are needed"
        return unjudged(Outcome.CANNOT_JUDGE, f"the face is {side:.0f} pixels wide or high; {needed}")
    planes = preprocess(capture, card.preprocess)
    if all(_blank(m, plane) for m, plane in planes.items()):
        return unjudged(Outcome.CANNOT_JUDGE, "no image shows anything but one level")
    return Ready(planes, present, missing)


def decide(captures: Sequence[Ready | Decision], scorer: Scorer) -> list[Decision]:
    """Score what is ready in one network batch, and pass on what is settled already."""
    ready = [capture for capture in captures if isinstance(capture, Ready)]
    prediction = scorer.predict([capture.planes for capture in ready]) if ready else None
    out: list[Decision] = []
    row = 0
    for capture in captures:
        if isinstance(capture, Decision):
            out.append(capture)
            continue
        assert prediction is not None
        out.append(_scored(capture, prediction, scorer, row))
        row += 1
    return out


def _scored(capture: Ready, prediction: Prediction | OnnxPrediction, scorer: Scorer, row: int) -> Decision:
    card, present, missing = scorer.card, capture.present, capture.missing
    said = answer(prediction, card, missing, row)
    if not math.isfinite(said["score"]):
        return _unjudged(Outcome.CANNOT_JUDGE, present, missing, "the model gave no finite score")
    flags, model_id = quality_flags(capture.planes, card.preprocess), scorer.model_id
    record = decision_record(prediction, card, missing, model_id=model_id, flags=flags, row=row, digits=DIGITS)
    return Decision(Outcome.SCORED, present, missing, record, None, said, capture.planes)


def _unjudged(outcome: Outcome, present: str, missing: str, reason: str) -> Decision:
    record = no_decision(parse_modalities(present), parse_modalities(missing), reason)
    return Decision(outcome, present, missing, record, reason)


def _side(capture: Capture) -> float:
    """Shorter side of the face box in pixels; of the smallest image where images are crops."""
    if capture.box is None:
        return float(min(min(image.shape[:2]) for image in capture.images.values()))
    return min(capture.box.w, capture.box.h)


def _blank(modality: Modality, plane: np.ndarray[Any, np.dtype[np.float32]]) -> bool:
    """Nothing to see: no depth measured, or one level all over."""
    if modality is Modality.DEPTH:
        return not plane[1].any()
    return bool(np.ptp(plane.reshape(len(plane), -1), axis=1).max() == 0)
