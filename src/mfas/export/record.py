"""The decision record: why a capture was answered as it was, in a fixed order, computed and never generated. No torch.

Evidence, modality, risk, policy, answer: the order is that of the moderation trajectory of UniMod (arXiv 2602.02536,
section 3); the fields are ours (`docs/decision_record.md`). `decision_record.schema.json` beside this file is its
schema; a change that an old reader could not read raises ``version``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from math import isfinite, log
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from mfas.card import Card
from mfas.config import Config
from mfas.core import MODALITIES, Family, Modality
from mfas.data.quality import Flag
from mfas.export.predictor import FAMILIES, RESIDUALS
from mfas.export.sentence import sentence

if TYPE_CHECKING:
    from mfas.core import Prediction
    from mfas.export.predictor import OnnxPrediction

SCHEMA_FILE = Path(__file__).with_name("decision_record.schema.json")
DIGITS = 6
"""Decimals of every number, unless asked for fewer: below that, two builds of one library may differ."""
Unit = Annotated[float, Field(ge=0, le=1)]
_DRAWN_FROM = {"ctnet": (Modality.RGB,)}
"""Models whose complements come from some modalities only; all others draw on every observed one."""


class Action(StrEnum):
    """What follows. ``step_up``: ask for another proof; ``no_decision``: the capture had no score (a non-response)."""

    ACCEPT = "accept"
    REJECT = "reject"
    STEP_UP = "step_up"
    NO_DECISION = "no_decision"


class ModalityEvidence(Config):
    """One observed modality by itself.

    ``score`` of its own head; ``entropy`` of that score over ln 2; ``residual``: 1 - cosine of its feature and of what
    the other modalities made of it, null where there is nothing to compare with.
    """

    score: Unit | None
    entropy: Unit | None
    residual: Annotated[float, Field(ge=0, le=2)] | None
    flags: tuple[Flag, ...]


class Evidence(Config):
    """What was measured: the fused ``score``, the ``uncertainty`` over observed modalities, and each of them."""

    score: Unit | None
    uncertainty: Unit | None
    modalities: dict[Modality, ModalityEvidence]


class Mixed(Config):
    """An observed feature that was enhanced: by what ``share`` of a complement, drawn from which modalities."""

    share: Unit | None
    drawn_from: tuple[Modality, ...]


class Substitute(Config):
    """A missing feature in whose place a complement stood, drawn from which modalities."""

    drawn_from: tuple[Modality, ...]


class ModalityUse(Config):
    """What was there, and what the model made of it."""

    present: tuple[Modality, ...]
    missing: tuple[Modality, ...]
    substituted: dict[Modality, Substitute]
    enhanced: dict[Modality, Mixed]


class Risk(Config):
    """Scores of the attack-family heads, independent of each other, and the family with the largest.

    ``unknown`` has no head: (1 - fused score) (1 - largest of the others). It is high for what looks like an attack of
    no family that was trained.
    """

    families: dict[Family, Unit]
    most_likely: Family


class Policy(Config):
    """What follows from the score. ``threshold_id`` names card and missing pattern; ``band`` is where to step up.

    The score is compared before it is rounded.
    """

    action: Action
    because: str
    threshold: Unit | None
    band: tuple[Unit, Unit] | None
    threshold_id: str | None


class DecisionRecord(Config):
    """Why a capture was answered as it was. ``risk`` is null with a ``risk_reason``, ``evidence`` without a score."""

    version: Literal[1] = 1
    evidence: Evidence | None
    modality: ModalityUse
    risk: Risk | None
    risk_reason: str | None
    policy: Policy
    answer: str


def threshold_id(model_id: str, missing: str) -> str:
    """Names the threshold a decision was taken at: the card that holds it, and the pattern it was made for.

    >>> threshold_id("0123456789abcdef", "depth,ir")
    '0123456789ab/depth,ir'
    """
    return f"{model_id[:12]}/{missing or 'none'}"


def decision_record(
    prediction: Prediction | OnnxPrediction,
    card: Card,
    missing: str,
    *,
    model_id: str,
    flags: Mapping[Modality, tuple[Flag, ...]],
    row: int = 0,
    digits: int = DIGITS,
) -> DecisionRecord:
    """The record of one capture of a prediction, decided at the card's threshold, and band, for ``missing``.

    ``model_id``: SHA-256 of the card. ``flags`` as `mfas.data.quality.quality_flags` gives them. ``digits`` are kept of
    every number but threshold and band. Raises `ModelDirError` when the card has no threshold for ``missing``.
    """
    score, threshold = float(prediction.score[row]), card.threshold(missing)
    use = _use(prediction, card, row, digits)
    if not isfinite(score):
        return no_decision(use.present, use.missing, "the model gave no finite score")
    band = card.bands.get(missing)
    action, because = _judged(score, threshold, band)
    risk, reason = _risk(prediction, card, row, digits)
    policy = Policy(
        action=action,
        because=because,
        threshold=round(threshold, DIGITS),
        band=None if band is None else (round(band[0], DIGITS), round(band[1], DIGITS)),
        threshold_id=threshold_id(model_id, missing),
    )
    return _told(_evidence(prediction, flags, row, digits), use, risk, reason, policy)


def no_decision(present: tuple[Modality, ...], missing: tuple[Modality, ...], reason: str) -> DecisionRecord:
    """The record of a capture that has no score: what was there, and why nothing is said of it."""
    use = ModalityUse(present=present, missing=missing, substituted={}, enhanced={})
    policy = Policy(action=Action.NO_DECISION, because=reason, threshold=None, band=None, threshold_id=None)
    return _told(None, use, None, "there is no score", policy)


def for_caller(record: DecisionRecord, *, scores: bool) -> DecisionRecord:
    """What goes out of a service: never how complements were mixed in; without ``scores``, no score of any kind."""
    evidence, use, risk, reason = record.evidence, record.modality, record.risk, record.risk_reason
    if evidence is not None:
        hidden = {"residual": None} if scores else {"residual": None, "score": None, "entropy": None}
        own = {m: x.model_copy(update=hidden) for m, x in evidence.modalities.items()}
        fused = {} if scores else {"score": None, "uncertainty": None}
        evidence = evidence.model_copy(update={"modalities": own, **fused})
        if not scores:
            risk, reason = None, "scores are withheld"
    mixed = {m: x.model_copy(update={"share": None}) for m, x in use.enhanced.items()}
    use = use.model_copy(update={"enhanced": mixed})
    if scores:  # the sentence says nothing of residuals and shares: it stands as it is
        return record.model_copy(update={"evidence": evidence, "modality": use})
    return _told(evidence, use, risk, reason, record.policy)


def as_json(record: DecisionRecord) -> dict[str, Any]:
    """A JSON-safe mapping, keys in the order of the record."""
    return record.model_dump(mode="json")


def schema() -> dict[str, Any]:
    """The JSON Schema of a record, as `SCHEMA_FILE` holds it."""
    found: dict[str, Any] = DecisionRecord.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def _told(
    evidence: Evidence | None, use: ModalityUse, risk: Risk | None, reason: str | None, policy: Policy
) -> DecisionRecord:
    facts = {"evidence": evidence, "modality": use, "risk": risk, "risk_reason": reason, "policy": policy}
    record = DecisionRecord(**facts, answer="")
    return record.model_copy(update={"answer": sentence(as_json(record))})


def _judged(score: float, threshold: float, band: tuple[float, float] | None) -> tuple[Action, str]:
    if band is None:
        accepted = score >= threshold
        because = "the score reaches the threshold" if accepted else "the score is below the threshold"
        return (Action.ACCEPT if accepted else Action.REJECT), because
    if score >= band[1]:
        return Action.ACCEPT, "the score reaches the upper end of the band"
    if score < band[0]:
        return Action.REJECT, "the score is below the band"
    return Action.STEP_UP, "the score lies in the band"


def _evidence(
    prediction: Prediction | OnnxPrediction, flags: Mapping[Modality, tuple[Flag, ...]], row: int, digits: int
) -> Evidence:
    own: dict[Modality, ModalityEvidence] = {}
    residuals = prediction.extras.get(RESIDUALS)
    for column, modality in enumerate(MODALITIES):
        if not bool(prediction.present[row, column]):
            continue
        score = float(prediction.modality_scores[row, column])
        residual = float("nan") if residuals is None else float(residuals[row, column])
        own[modality] = ModalityEvidence(
            score=round(score, digits),
            entropy=round(_entropy(score), digits),
            residual=round(residual, digits) if isfinite(residual) else None,
            flags=flags.get(modality, ()),
        )
    uncertainty = round(float(prediction.uncertainty[row]), digits)
    return Evidence(score=round(float(prediction.score[row]), digits), uncertainty=uncertainty, modalities=own)


def _use(prediction: Prediction | OnnxPrediction, card: Card, row: int, digits: int) -> ModalityUse:
    columns = list(enumerate(MODALITIES))
    present = tuple(m for k, m in columns if bool(prediction.present[row, k]))
    sources = tuple(m for m in present if m in _DRAWN_FROM.get(card.model, MODALITIES))
    shares = {m: float(prediction.enhanced[row, k]) for k, m in columns}
    return ModalityUse(
        present=present,
        missing=tuple(m for m in MODALITIES if m not in present),
        substituted={m: Substitute(drawn_from=sources) for k, m in columns if bool(prediction.substituted[row, k])},
        enhanced={
            m: Mixed(share=round(share, digits), drawn_from=tuple(s for s in sources if s is not m))
            for m, share in shares.items()
            if share > 0
        },
    )


def _risk(prediction: Prediction | OnnxPrediction, card: Card, row: int, digits: int) -> tuple[Risk | None, str | None]:
    found = prediction.extras.get(FAMILIES)
    if card.families is None:
        return None, "the model has no attack family heads"
    if found is None:
        return None, "the model's graph is without its attack family heads"
    scores = {name: float(found[row, k]) for k, name in enumerate(card.families.names)}
    scores[Family.UNKNOWN] = (1 - float(prediction.score[row])) * (1 - max(scores.values()))
    likely = max(scores, key=lambda name: scores[name])
    return Risk(families={name: round(score, digits) for name, score in scores.items()}, most_likely=likely), None


def _entropy(p: float) -> float:
    """Of a Bernoulli variable, over ln 2: `mfas.models.uncertainty.binary_entropy` without torch."""
    return -sum(q * log(q) for q in (p, 1 - p) if q > 0) / log(2) + 0.0
