"""The decision record in the service: told and kept alike, without a word of learning, which goes to the steps."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from mfas.export.record import SCHEMA_FILE
from mfas.service.ledger import LedgerError, verify
from mfas.service.offers import Offer, step_of
from mfas.service.store import Store
from mfas.service.store.chain import content_hash
from mfas.service.store.migrating import migrate
from served import SITE, Served, crop, png, served
from stored import decision, step

LEARNING = (
    "learn", "pseudo", "update", "gate", "quota", "adapt", "shadow", "reliab", "loss", "signal", "drift", "snapshot",
    "ledger", "candidate", "canary", "state",
)  # fmt: skip


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("service")) as running:
        yield running


def keys_of(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from keys_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from keys_of(item)


def test_an_answer_says_why_and_what_is_kept_says_it_too(there: Served) -> None:
    images = {name: data for name, data in crop(5).items() if name != "ir"}
    answer = there.decide(images).json()
    record = answer["record"]
    jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text("utf-8"))).validate(record)
    assert list(record) == ["version", "evidence", "modality", "risk", "risk_reason", "policy", "answer"]
    assert record["evidence"]["score"] == answer["score"]
    assert {m: one["score"] for m, one in record["evidence"]["modalities"].items()} == answer["modality_scores"]
    assert record["policy"]["threshold_id"] == answer["threshold_id"]
    assert record["policy"]["action"] == ("accept" if answer["decision"] == "bona_fide" else "reject")
    assert record["modality"]["substituted"] == {"ir": {"drawn_from": ["rgb", "depth"]}}
    kept = there.store.decision(answer["request_id"])
    assert kept is not None
    assert kept.record is not None
    assert list(kept.record) == list(record)
    assert kept.record["answer"] == record["answer"]
    assert all(one["share"] is not None for one in kept.record["modality"]["enhanced"].values())
    assert all(one["share"] is None for one in record["modality"]["enhanced"].values())
    address = f"/v1/sites/{SITE}/decisions/{answer['request_id']}"
    assert there.http.get(address, headers=there.headers("operate")).json()["record"] == kept.record


def test_the_record_is_that_of_mfas_predict_in_fewer_digits(there: Served, tmp_path: Path) -> None:
    from commands import mfas

    argv: list[object] = ["predict", "--box", "full", "--json"]
    for name, data in crop(3).items():
        (tmp_path / f"{name}.png").write_bytes(data)
        argv += [f"--{name}", tmp_path / f"{name}.png"]
    told, answer = mfas(*argv).json()["record"], there.decide(crop(3)).json()["record"]
    assert answer["policy"] == told["policy"]
    assert answer["modality"]["present"] == told["modality"]["present"]
    assert answer["evidence"]["score"] == pytest.approx(told["evidence"]["score"], abs=6e-4)
    assert answer["risk_reason"] == told["risk_reason"]
    assert "decision" not in told
    assert "answer: " + told["answer"] in mfas(*[a for a in argv if a != "--json"]).out


def test_no_face_is_a_record_without_a_decision(there: Served) -> None:
    plain = np.full((120, 160, 3), 90, np.uint8)
    plain[:, 80:] = 120
    record = there.decide({"rgb": png(plain)}, box="").json()["record"]
    assert record["policy"]["action"] == "no_decision"
    assert record["answer"] == "No decision because no face found in rgb; present rgb; missing depth, ir."
    assert record["evidence"] is record["risk"] is None


def test_nothing_of_learning_is_in_any_record(there: Served) -> None:
    answer = there.decide(crop()).json()
    kept = there.store.decision(answer["request_id"])
    assert kept is not None
    for record in (answer["record"], kept.record):
        assert not [key for key in keys_of(record) for word in LEARNING if word in key]
        assert not [word for word in LEARNING if word in record["answer"].lower()]


def test_scores_that_are_withheld_are_not_in_the_record_either(tmp_path: Path) -> None:
    with served(tmp_path, tell_scores=False) as running:
        answer = running.decide(crop()).json()
        record = answer["record"]
        kept = running.store.decision(answer["request_id"])
        assert kept is not None
        assert kept.record is not None
        assert record["evidence"]["score"] is record["evidence"]["uncertainty"] is record["risk"] is None
        assert record["policy"] == kept.record["policy"]
        assert f"{kept.score:.3f}" not in json.dumps(record).replace(f"{answer['threshold']:.3f}", "")
        assert kept.record["evidence"]["score"] == kept.score


def test_the_console_shows_the_record(there: Served) -> None:
    from mfas.service.console.rendering import _environment

    answer = there.decide(crop(2)).json()
    kept = there.store.decision(answer["request_id"])
    assert kept is not None
    parts = _environment().get_template("parts.html").module
    shown = parts.record(kept.record)  # type: ignore[attr-defined]
    assert kept.record is not None
    assert kept.record["answer"] in shown
    assert f"{kept.record['evidence']['modalities']['depth']['entropy']:.3f}" in shown
    silent = parts.record(there.decide({"depth": crop()["depth"]}, box="").json()["record"])  # type: ignore[attr-defined]
    assert "No decision because" in silent


def test_what_was_learnt_goes_to_the_steps_with_model_and_signals(there: Served) -> None:
    from mfas.adaptation.contract import StepReport

    report = StepReport(
        0, 1, accepted=1, accepted_ids=("r",), pseudo_labels=("attack",), updated=True, loss=0.5, loss_weight=0.25,
        signals={"flip_rate": 0.5, "loss_jump": float("inf")},
    )  # fmt: skip
    made = step_of(Offer({}, "r", "attack"), report, "source", "m" * 64)
    assert (made.model_id, made.signals, made.parent) == ("m" * 64, {"flip_rate": 0.5}, "source")
    assert (made.accepted, made.pseudo_label, made.loss_weight) == (True, "attack", 0.25)
    there.store.record_steps(SITE, [made])
    assert there.store.steps(SITE)[0][1] == made
    verify(there.store.database)


def test_rows_from_before_there_were_records_still_verify(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'old.db'}"
    store = Store(url)
    migrate(store.database, "0002")
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection:
        assert "record" not in [row[1] for row in connection.execute("PRAGMA table_info(decisions)")]
    store.migrate()
    store.add_site("door")
    store.record_decision(decision(request_id="old"))
    store.record_steps("door", [step()])
    store.record_decision(decision(request_id="new", record={"b": 1, "a": [2.5, None]}))
    assert verify(store.database).records == 3
    kept = store.decision("new")
    assert kept is not None
    assert list(kept.record or {}) == ["b", "a"]
    assert store.decision("old").record is None  # type: ignore[union-attr]
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection, connection:
        connection.execute("UPDATE decisions SET record = '{}' WHERE request_id = 'old'")
    with pytest.raises(LedgerError, match="its decision was changed"):
        verify(store.database)
    store.close()


def test_an_empty_new_column_leaves_the_hash_as_it_was() -> None:
    before = {"request_id": "r", "score": 0.5, "nonce": None}
    assert content_hash({**before, "record": None}) == content_hash(before)
    assert content_hash({**before, "record": "{}"}) != content_hash(before)
    assert content_hash({**before, "nonce": "n"}) != content_hash(before)
