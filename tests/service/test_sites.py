"""Sites over HTTP: made, changed, adapted, rolled back, frozen, erased."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from safetensors.torch import load, save

from mfas.errors import MissingExtraError
from mfas.service.in_force import _with, read_source
from mfas.service.shadow import Shadow
from mfas.service.states import SOURCE
from mfas.service.store.types import NewState
from mfas.service.verdicts import Outcome, Verdict
from mfas.weights import default_directory
from served import SITE, Served, crop, served


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as running:
        yield running


def call(there: Served, method: str, path: str, scope: str = "operate", **json: Any) -> Any:
    body = {"json": json} if method != "GET" else {}
    return there.http.request(method, f"/v1/sites{path}", headers=there.headers(scope), **body)


def candidate(there: Served, site: str) -> NewState:
    """What a shadow would make that had moved all its weights by a fifth, signed as it signs."""
    source = read_source(default_directory())
    shadow = Shadow(there.service.config.learning.method, source.model, source.card, {})
    raw = save({name: 1.2 * tensor for name, tensor in load(shadow.weights({})[1]).items()})
    state = hashlib.sha256(raw).hexdigest()
    signature = there.service.secret.sign(state, site, source.id, SOURCE)
    return NewState(state, site, SOURCE, source.id, signature, "by_hand", 1, 1, 1, 0.01, raw)


def test_a_site_is_made_and_changed_by_an_administrator(there: Served) -> None:
    made = call(there, "PUT", "/door-2", "admin", retention_days=7)
    assert made.status_code == 201
    assert (made.json()["policy"], made.json()["retention_days"], made.json()["state"]) == ("off", 7, SOURCE)
    changed = call(there, "PUT", "/door-2", "admin", retention_days=9)
    assert (changed.status_code, changed.json()["retention_days"]) == (200, 9)
    assert [site["name"] for site in call(there, "GET", "").json()] == [SITE, "door-2"]
    assert call(there, "GET", "/door-2").json() == changed.json()
    for name in ("UPPER", "-x", "a" * 65, "a.b"):
        assert call(there, "PUT", f"/{name}", "admin").status_code == 422
    assert there.store.ledger(kinds=("retention_set",))[0].payload["by"] == f"key {there.records['admin'].id}"


def test_a_candidate_is_approved_serves_and_is_rolled_back(there: Served) -> None:
    source = there.decide(crop()).json()
    assert call(there, "PUT", f"/{SITE}", "admin", policy="approve").status_code == 200
    state = candidate(there, SITE)
    there.store.adopt_base(SITE, state.base)
    there.store.submit(state, (), Verdict(Outcome.WAIT, ("a person decides",)))
    assert there.decide(crop()).json()["state_id"] == SOURCE
    listed = call(there, "GET", f"/{SITE}/states").json()
    assert [(one["id"], one["status"]) for one in listed] == [(state.id, "candidate")]
    assert call(there, "GET", f"/{SITE}/states/{state.id}/canary").json() == []

    there.store.add_site("other")
    stranger = call(there, "POST", f"/other/states/{state.id}/approve", reason="?")
    assert (stranger.status_code, stranger.json()["code"]) == (404, "unknown_state")
    approved = call(there, "POST", f"/{SITE}/states/{state.id}/approve", reason="looks right")
    assert approved.json()["state"] == state.id
    again = call(there, "POST", f"/{SITE}/states/{state.id}/approve")
    assert (again.status_code, again.json()["code"]) == (409, "not_allowed")

    adapted = there.decide(crop()).json()
    assert adapted["state_id"] == state.id
    assert adapted["threshold"] == source["threshold"]
    assert adapted["score"] != source["score"]
    assert there.decide(crop(), site="other").json()["state_id"] == SOURCE

    rolled = call(there, "POST", f"/{SITE}/rollback", reason="drill")
    assert rolled.json()["state"] == SOURCE
    after = there.decide(crop()).json()
    assert (after["state_id"], after["score"]) == (SOURCE, source["score"])
    actions = [one["action"] for one in call(there, "GET", f"/{SITE}/approvals").json()]
    assert actions == ["rollback", "approve"]


def test_a_candidate_is_rejected(there: Served) -> None:
    call(there, "PUT", f"/{SITE}", "admin", policy="approve")
    state = candidate(there, SITE)
    there.store.adopt_base(SITE, state.base)
    there.store.submit(state, (), Verdict(Outcome.WAIT))
    assert call(there, "POST", f"/{SITE}/states/{state.id}/reject", reason="no").json()["candidate"] is None
    (listed,) = call(there, "GET", f"/{SITE}/states").json()
    assert (listed["status"], listed["reason"]) == ("rejected", "no")


def test_the_switch_to_freeze(there: Served) -> None:
    frozen = call(there, "POST", f"/{SITE}/freeze", reason="maintenance").json()
    assert (frozen["frozen"], frozen["phase"]) == (True, "frozen")
    assert there.decide(crop()).status_code == 200
    assert call(there, "POST", f"/{SITE}/unfreeze").json()["frozen"] is False


def test_captures_reach_the_shadow_and_the_answer_does_not_tell(there: Served) -> None:
    before = there.decide(crop()).json()
    call(there, "PUT", f"/{SITE}", "admin", policy="observe")
    until, steps = time.monotonic() + 20, []
    while not steps and time.monotonic() < until:
        answer = there.decide(crop(), subject="a", session=f"s{time.monotonic()}").json()
        assert {k: v for k, v in answer.items() if k != "request_id"} == {
            k: v for k, v in before.items() if k != "request_id"
        }
        steps = call(there, "GET", f"/{SITE}/steps").json()
        time.sleep(0.05)
    assert steps
    assert there.store.decision(steps[0]["request_id"]) is not None


def test_a_service_that_cannot_adapt_says_so(there: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_torch() -> None:
        raise MissingExtraError("adaptation", "train")

    monkeypatch.setattr(there.service.adaptation, "open", no_torch)
    refused = call(there, "PUT", f"/{SITE}", "admin", policy="auto")
    assert (refused.status_code, refused.json()["code"]) == (409, "no_adaptation")
    assert there.store.site(SITE).policy == "off"
    assert call(there, "PUT", f"/{SITE}", "admin", policy="off").status_code == 200


def test_a_subject_is_erased(there: Served) -> None:
    mine = [there.decide(crop(k), subject="somebody").json()["request_id"] for k in range(2)]
    other = there.decide(crop(), subject="else").json()["request_id"]
    found = call(there, "GET", f"/{SITE}/decisions/{mine[0]}")
    assert (found.status_code, found.json()["outcome"]) == (200, "scored")
    erased = call(there, "DELETE", f"/{SITE}/subjects", "admin", subject="somebody")
    assert erased.json() == {"decisions": 2, "steps": 0, "states": []}
    gone = call(there, "GET", f"/{SITE}/decisions/{mine[0]}")
    assert (gone.status_code, gone.json()["code"]) == (404, "unknown_decision")
    assert call(there, "GET", f"/{SITE}/decisions/{other}").status_code == 200
    there.store.add_site("other")
    assert call(there, "GET", f"/other/decisions/{other}").status_code == 404


def test_what_is_past_its_retention_goes_by_itself(tmp_path: Path) -> None:
    with served(tmp_path) as running:
        request = running.decide(crop()).json()["request_id"]
        url = running.service.config.database
    long_ago = datetime.now(UTC) + timedelta(days=31)
    with served(tmp_path / "again", database=url, clock=lambda: long_ago) as later:
        until = time.monotonic() + 10
        while later.store.decision(request) is not None and time.monotonic() < until:
            time.sleep(0.02)
        assert later.store.decision(request) is None


def test_a_state_in_force_shares_what_it_did_not_move() -> None:
    source = read_source(default_directory()).model
    before = {name: value.clone() for name, value in source.state_dict().items()}
    moved = next(iter(before))
    served_by = _with(source, {moved: before[moved] + 1}).state_dict()
    own = source.state_dict()
    assert {n for n in own if served_by[n].data_ptr() != own[n].data_ptr()} == {moved}
    assert (served_by[moved] == before[moved] + 1).all()
    assert all((own[n] == before[n]).all() for n in own)
