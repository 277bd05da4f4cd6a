"""Decision records: known values, one order, a schema that is kept, and a sentence that invents nothing."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from typing import Any

import jsonschema
import numpy as np
import pytest

from mfas._files import json_line
from mfas.card import Card, FamilyCard
from mfas.core import MISSING_PATTERNS, MODALITIES, Family, Modality
from mfas.data.quality import Flag
from mfas.errors import ModelDirError
from mfas.export.predictor import OnnxPrediction
from mfas.export.record import (
    SCHEMA_FILE,
    DecisionRecord,
    as_json,
    decision_record,
    for_caller,
    no_decision,
    schema,
)

MODEL_ID = "0123456789abcdef" * 4
HEADS = FamilyCard(names=(Family.PRINT, Family.RIGID_MASK), hidden=4, way="post_hoc")
FLAGS = {Modality.RGB: (Flag.LOW_CONTRAST,), Modality.DEPTH: (Flag.HOLES,), Modality.IR: ()}


def card(**facts: Any) -> Card:
    return Card(model="mfas_danet", thresholds=dict.fromkeys(MISSING_PATTERNS, 0.6), **facts)


def prediction(score: float = 0.25, present: tuple[bool, ...] = (True, True, False), **extras: Any) -> OnnxPrediction:
    seen = np.array([present])
    shares = np.where(seen & (seen.sum() > 1), 0.125, 0).astype(np.float32)
    scores = np.where(seen, np.array([[0.5, 0.25, 0.9]]), np.nan).astype(np.float32)
    found = {
        "residuals": np.where(seen, np.array([[0.75, 0.5, 0.1]]), np.nan).astype(np.float32),
        "families": np.array([[0.5, 0.125]], np.float32),
    } | extras
    return OnnxPrediction(
        score=np.array([score], np.float32),
        modality_scores=scores,
        uncertainty=np.array([0.75], np.float32),
        reliability=np.array([0.25], np.float32),
        substituted=~seen,
        enhanced=shares,
        present=seen,
        extras={name: value for name, value in found.items() if value is not None},
    )


def record(score: float = 0.25, missing: str = "ir", its_card: Card | None = None, **facts: Any) -> DecisionRecord:
    its_card = card(families=HEADS) if its_card is None else its_card
    return decision_record(prediction(score, **facts), its_card, missing, model_id=MODEL_ID, flags=FLAGS)


def test_known_values_in_the_order_that_was_agreed() -> None:
    assert as_json(record()) == {
        "version": 1,
        "evidence": {
            "score": 0.25,
            "uncertainty": 0.75,
            "modalities": {
                "rgb": {"score": 0.5, "entropy": 1.0, "residual": 0.75, "flags": ["low_contrast"]},
                "depth": {"score": 0.25, "entropy": 0.811278, "residual": 0.5, "flags": ["holes"]},
            },
        },
        "modality": {
            "present": ["rgb", "depth"],
            "missing": ["ir"],
            "substituted": {"ir": {"drawn_from": ["rgb", "depth"]}},
            "enhanced": {
                "rgb": {"share": 0.125, "drawn_from": ["depth"]},
                "depth": {"share": 0.125, "drawn_from": ["rgb"]},
            },
        },
        "risk": {"families": {"print": 0.5, "rigid_mask": 0.125, "unknown": 0.375}, "most_likely": "print"},
        "risk_reason": None,
        "policy": {
            "action": "reject",
            "because": "the score is below the threshold",
            "threshold": 0.6,
            "band": None,
            "threshold_id": "0123456789ab/ir",
        },
        "answer": "Reject because the score is below the threshold; score 0.250; threshold 0.600; present rgb, depth; "
        "missing ir; substituted ir drawn from rgb, depth; enhanced rgb drawn from depth, depth drawn from rgb; "
        "flags rgb low contrast, depth holes; most likely print 0.500.",
    }
    told = [key for key in as_json(record()) if key not in ("version", "risk_reason")]
    assert told == ["evidence", "modality", "risk", "policy", "answer"]


def test_an_attack_of_no_trained_family_is_most_likely_unknown() -> None:
    risk = record(0.0, families=np.array([[0.125, 0.25]], np.float32)).risk
    assert risk is not None
    assert (risk.families[Family.UNKNOWN], risk.most_likely) == (0.75, Family.UNKNOWN)
    assert "most likely unknown 0.750" in record(0.0, families=np.array([[0.125, 0.25]], np.float32)).answer


@pytest.mark.parametrize(
    ("score", "action", "because"),
    [
        (0.8, "accept", "the score reaches the upper end of the band"),
        (0.7999, "step_up", "the score lies in the band"),
        (0.4, "step_up", "the score lies in the band"),
        (0.3999, "reject", "the score is below the band"),
    ],
)
def test_a_band_asks_for_another_proof(score: float, action: str, because: str) -> None:
    bands = {"ir": (float(np.float32(0.4)), float(np.float32(0.8)))}
    found = record(score, its_card=card(bands=bands))
    assert (found.policy.action.value, found.policy.because, found.policy.band) == (action, because, (0.4, 0.8))
    assert f"{action.replace('_', ' ')} because {because}".lower() in found.answer.lower()


def test_without_a_band_the_threshold_decides_alone() -> None:
    exact = card()
    exact = exact.model_copy(update={"thresholds": {**exact.thresholds, "ir": float(np.float32(0.6))}})
    assert record(0.6, its_card=exact).policy.action.value == "accept"
    assert record(0.5999, its_card=exact).policy.action.value == "reject"
    with pytest.raises(ModelDirError, match="no threshold for missing='ir'"):
        record(its_card=Card(model="mfas_danet"))


def test_a_band_must_hold_its_threshold() -> None:
    with pytest.raises(ValueError, match="must lie in \\[0, 1\\] and hold its threshold"):
        card(bands={"ir": (0.7, 0.8)})
    with pytest.raises(ValueError, match="hold its threshold"):
        Card(model="mfas_danet", bands={"ir": (0.1, 0.2)})


def test_old_cards_and_old_graphs_have_no_risk_and_say_why() -> None:
    old = record(its_card=card())
    assert (old.risk, old.risk_reason) == (None, "the model has no attack family heads")
    graph = record(families=None, residuals=None)
    assert (graph.risk, graph.risk_reason) == (None, "the model's graph is without its attack family heads")
    assert graph.evidence is not None
    assert all(one.residual is None for one in graph.evidence.modalities.values())


def test_what_has_no_finite_score_is_not_decided() -> None:
    lost = record(float("nan"))
    assert lost == no_decision((Modality.RGB, Modality.DEPTH), (Modality.IR,), "the model gave no finite score")
    assert lost.evidence is lost.risk is lost.policy.threshold_id is None
    assert lost.answer == "No decision because the model gave no finite score; present rgb, depth; missing ir."


def test_a_model_that_draws_on_colour_alone_is_told_so() -> None:
    found = record(its_card=card().model_copy(update={"model": "ctnet"}))
    assert found.modality.substituted[Modality.IR].drawn_from == (Modality.RGB,)


def every_record() -> list[DecisionRecord]:
    banded = card(families=HEADS, bands=dict.fromkeys(MISSING_PATTERNS, (0.4, 0.8)))
    found = [no_decision((), MODALITIES, "no face found in rgb"), record(its_card=card()), record(float("nan"))]
    for present in ((True, True, True), (True, False, False), (False, True, True)):
        missing = ",".join(m.value for m, there in zip(MODALITIES, present, strict=True) if not there)
        for score in (0.0, 0.123456789, 0.5, 0.9, 1.0):
            found += [record(score, missing, banded, present=present), record(score, missing, present=present)]
    return found + [for_caller(one, scores=tell) for one in found for tell in (True, False)]


def test_every_word_of_the_answer_is_in_the_record() -> None:
    for one in every_record():
        told = as_json(one)
        answer = str(told.pop("answer"))
        words, numbers = set[str](), set[str]()
        collect(told, words, numbers)
        for token in re.findall(r"\d+\.\d+|\d+|[^\W\d]+", answer.lower()):
            assert token in (numbers if token[0].isdigit() else words), (token, answer)
        assert answer.endswith(".")
        assert answer.count(". ") == 0


def collect(value: Any, words: set[str], numbers: set[str]) -> None:
    """Words of all keys and texts, and all numbers with three decimals."""
    if isinstance(value, dict):
        for key, item in value.items():
            words.update(re.findall(r"[^\W\d_]+", key.lower()))
            collect(item, words, numbers)
    elif isinstance(value, list):
        for item in value:
            collect(item, words, numbers)
    elif isinstance(value, str):
        words.update(re.findall(r"[^\W\d_]+", value.lower()))
    elif value is not None:
        numbers.add(f"{value:.3f}")


def test_the_schema_is_the_one_that_was_agreed_and_every_record_follows_it() -> None:
    """After a change on purpose: ``MFAS_SNAPSHOT=write pytest tests/export/test_record.py``."""
    if os.environ.get("MFAS_SNAPSHOT") == "write":
        SCHEMA_FILE.write_text(json.dumps(schema(), indent=1) + "\n", "utf-8")
    agreed = json.loads(SCHEMA_FILE.read_text("utf-8"))
    assert agreed == schema()
    jsonschema.Draft202012Validator.check_schema(agreed)
    validator = jsonschema.Draft202012Validator(agreed)
    for one in every_record():
        validator.validate(as_json(one))
    for wrong in ({"learning": {}}, {"version": 2}, {"policy": None}, {"answer": None}):
        assert not validator.is_valid({**as_json(record()), **wrong})


def test_a_record_is_the_same_bytes_and_is_read_back() -> None:
    for one in every_record():
        line = json_line(as_json(one))
        assert DecisionRecord.model_validate_json(line) == one
        assert json_line(as_json(DecisionRecord.model_validate_json(line))) == line
    wobbled = replace(prediction(), score=np.array([np.nextafter(np.float32(0.25), np.float32(1))]))
    again = decision_record(wobbled, card(families=HEADS), "ir", model_id=MODEL_ID, flags=FLAGS)
    assert json_line(as_json(again)) == json_line(as_json(record()))


def test_a_caller_is_told_no_mixing_and_without_scores_none_of_them() -> None:
    told, silent = for_caller(record(), scores=True), for_caller(record(), scores=False)
    assert told.evidence is not None
    assert silent.evidence is not None
    assert all(one.residual is None for one in told.evidence.modalities.values())
    assert all(one.share is None for one in told.modality.enhanced.values())
    assert (told.evidence.score, told.risk) == (0.25, record().risk)
    assert (silent.evidence.score, silent.evidence.uncertainty, silent.risk) == (None, None, None)
    assert all(one.score is one.entropy is None for one in silent.evidence.modalities.values())
    assert "0.250" not in silent.answer
    assert silent.policy == record().policy
