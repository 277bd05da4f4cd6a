"""Pages of the console: who sees what, forms that only its own pages can send, and nothing that a name can break."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from mfas.service.console.console import ROUTERS
from mfas.service.console.rendering import STATIC
from mfas.service.console.sessions import SESSION_COOKIE, SESSION_SECONDS
from mfas.service.keys import Scope
from mfas.service.states import SOURCE, Policy
from mfas.service.verdicts import Outcome, Verdict
from pages import parse
from served import SITE, Served, crop, served
from stored import change, decision, state, step

HERE = f"/console/sites/{SITE}"
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
NASTY = '<img src=x onerror="alert(1)">'


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as running:
        yield running


def token(response: httpx.Response) -> str:
    found = re.search(r'name="form" value="([0-9a-f]{64})"', response.text)
    assert found, response.text
    return found[1]


def enter(there: Served, key: str, after: str = "") -> httpx.Response:
    form = there.http.get("/console/sign-in")
    return there.http.post("/console/sign-in", data={"form": token(form), "key": key, "next": after})


def sign_in(there: Served, scope: str = "admin") -> str:
    """Sign in; gives the token of forms."""
    response = enter(there, there.keys[scope])
    assert response.status_code == 200
    return token(response)


def post(there: Served, path: str, form: str, **fields: str) -> httpx.Response:
    return there.http.post(path, data={"form": form, **fields}, follow_redirects=False)


def waiting(there: Served) -> str:
    """A candidate that waits for approval; gives its id."""
    there.store.set_policy(SITE, Policy.APPROVE, "ann")
    made = state(site=SITE)
    there.store.adopt_base(SITE, made.base)
    there.store.submit(made, (change(),), Verdict(Outcome.WAIT, ("ask",)))
    return made.id


def lived(there: Served) -> str:
    """A site with something on every part of its page; gives a request id."""
    found: str = there.decide(crop()).json()["request_id"]
    there.store.record_steps(SITE, [step(), step(accepted=False, reason="no evidence", drift=0.02)])
    waiting(there)
    return found


def test_every_page_is_one_and_holds_to_the_policy(there: Served) -> None:
    request = lived(there)
    sign_in(there)
    deeds = [f"{HERE}/do/{action}" for action in ("approve", "reject", "freeze")]
    pages = ["/console", HERE, f"{HERE}/try", f"{HERE}/decisions/{request}", "/console/ledger", *deeds]
    for path in [*pages, "/console/sign-in"]:
        response = there.http.get(path)
        assert response.status_code == 200, path
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert response.headers["content-security-policy"] == POLICY
        assert response.headers["cache-control"] == "no-store"
        assert not re.search(r"<style|\sstyle=|<script(?! src=\"/)|\son[a-z]+=|javascript:", response.text), path
        found = parse(re.sub(r"<(rect|line|circle|polyline|path|ellipse)\b[^>]*/>", "", response.text))
        assert found.faults == [], path
        outside = [one for one in found.references + found.links if not one.startswith(("/", "#"))]
        assert outside == [], path
    for name, kind in STATIC.items():
        response = there.http.get(f"/console/static/{name}")
        assert (response.status_code, response.headers["content-type"].partition(";")[0]) == (200, kind)
    assert there.http.get("/console/static/console.py").status_code == 404


def test_every_field_has_a_label_and_ids_are_used_once(there: Served) -> None:
    lived(there)
    sign_in(there)
    for path in ("/console/sign-in", HERE, f"{HERE}/try", f"{HERE}/do/freeze", "/console/ledger"):
        text = there.http.get(path).text
        ids = re.findall(r'\sid="([^"]+)"', text)
        assert len(ids) == len(set(ids)), path
        fields = re.findall(r"<(?:input|select)(?![^>]*type=\"hidden\")[^>]*\sid=\"([^\"]+)\"", text)
        assert sorted(fields) == sorted(re.findall(r'<label for="([^"]+)"', text)), path
        assert '<a class="skip" href="#main">' in text
        assert '<main id="main"' in text


def test_the_site_page_tells_all_of_it(there: Served) -> None:
    request = lived(there)
    sign_in(there)
    text = there.http.get(HERE).text
    for told in ("A candidate waits for you", "0.040", "APCER replay lcd", "loss weight", "no evidence", request[:12]):
        assert told in text, told
    assert re.search(r"<time datetime=\"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\">", text)
    assert "2 captures, 1 taken, 1 skipped" in text
    glance = there.http.get("/console").text
    assert "A candidate waits" in glance
    assert re.search(r"<b>100.0 %</b> (bona fide|attack)", glance)


def test_empty_pages_say_what_to_do_next(there: Served) -> None:
    sign_in(there)
    text = there.http.get(HERE).text
    assert "Adaptation is off" in text
    assert '{"policy": "observe"}' in unescape(text)
    assert f"POST /v1/sites/{SITE}/decisions" in text


def test_where_no_key_was_made_the_form_says_how(tmp_path: Path) -> None:
    with served(tmp_path, keys=False) as running:
        assert "mfas keys add" in running.http.get("/console").text


def test_signing_in_needs_a_valid_key_and_the_form_of_the_page(there: Served) -> None:
    wrong = enter(there, "mfas_wrong")
    assert (wrong.status_code, "no valid key" in wrong.text) == (401, True)
    assert SESSION_COOKIE not in there.http.cookies
    for form in ("", "0" * 64):
        assert post(there, "/console/sign-in", form, key=there.keys["admin"]).status_code == 403
    there.http.cookies.clear()
    form = token(there.http.get("/console/sign-in"))
    there.http.cookies.clear()
    assert post(there, "/console/sign-in", form, key=there.keys["admin"]).status_code == 403
    assert there.http.get("/console", follow_redirects=False).headers["location"] == "/console/sign-in?next=/console"


def test_the_cookie_holds_the_id_of_the_key_and_nothing_else(there: Served) -> None:
    form = token(there.http.get("/console/sign-in"))
    response = post(there, "/console/sign-in", form, key=there.keys["operate"])
    header = response.headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=strict", "Path=/console"):
        assert part in header
    cookie = there.http.cookies[SESSION_COOKIE].strip('"')
    assert cookie.split(".")[0] == there.records["operate"].id
    assert there.keys["operate"] not in header
    assert [row.payload["key"] for row in there.store.ledger(kinds=("signed_in",))] == [there.records["operate"].id]


def test_a_cookie_that_was_changed_or_is_old_signs_nobody_in(there: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in(there, "score")
    own = there.http.cookies[SESSION_COOKIE].strip('"')
    other = there.records["admin"].id
    there.http.cookies.clear()
    for forged in (other, f"{other}.{own.partition('.')[2]}", own + "x"):
        there.http.cookies.set(SESSION_COOKIE, forged)
        assert there.http.get("/console", follow_redirects=False).status_code == 303
        there.http.cookies.clear()
    there.http.cookies.set(SESSION_COOKIE, own)
    assert there.http.get("/console", follow_redirects=False).status_code == 200
    later = time.time() + SESSION_SECONDS + 5
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: later)
    assert there.http.get("/console", follow_redirects=False).status_code == 303


def test_a_key_that_is_revoked_is_signed_out_at_once(there: Served) -> None:
    form = sign_in(there)
    there.store.revoke_key(there.records["admin"].id)
    assert there.http.get(HERE, follow_redirects=False).status_code == 303
    assert post(there, f"{HERE}/do/freeze", form, about=SOURCE).status_code == 401
    assert not there.store.site(SITE).frozen


def test_signing_out(there: Served) -> None:
    form = sign_in(there)
    assert post(there, "/console/sign-out", "0" * 64).status_code == 403
    assert SESSION_COOKIE in there.http.cookies
    assert post(there, "/console/sign-out", form).status_code == 303
    assert SESSION_COOKIE not in there.http.cookies


def test_a_key_does_not_travel_in_the_clear(there: Served) -> None:
    far = {"host": "mfas.example"}
    plain = there.http.get("/console/sign-in", headers=far)
    assert "not encrypted" in plain.text
    assert "<input" not in plain.text
    behind = there.http.get("/console/sign-in", headers={**far, "x-forwarded-proto": "https"})
    assert 'name="key"' in behind.text
    assert "Secure" in behind.headers["set-cookie"]


@pytest.mark.parametrize(
    "after", ["https://evil.example", "//evil.example", "/v1/sites", "/console/../v1", "/console//x"]
)
def test_signing_in_leads_to_pages_of_the_console_only(there: Served, after: str) -> None:
    assert enter(there, there.keys["admin"], after).url.path == "/console"


def test_signing_in_leads_to_where_one_wanted_to_go(there: Served) -> None:
    assert enter(there, there.keys["admin"], HERE).url.path == HERE


def forms() -> list[str]:
    """Addresses of the console that take a form."""
    routes: list[Any] = [route for router in ROUTERS for route in router.routes]
    found = [route.path for route in routes if "POST" in route.methods]
    assert len(found) >= 5
    return [path.replace("{site}", SITE).replace("{action}", "freeze") for path in found]


def test_every_form_needs_its_token_and_our_own_page(there: Served) -> None:
    good = sign_in(there)
    for path in forms():
        for form in ("", "0" * 64):
            fields = {"form": form, "about": SOURCE, "key": there.keys["admin"]}
            files = crop() if path.endswith("/try") else None
            refused = there.http.post(path, data=fields, files=files, follow_redirects=False)
            assert refused.status_code == 403, path
            assert refused.headers["content-security-policy"] == POLICY
        foreign = {"sec-fetch-site": "cross-site"}
        assert there.http.post(path, data={"form": good, "about": SOURCE}, headers=foreign).status_code == 403, path
    assert there.store.site(SITE).decisions == 0
    assert not there.store.site(SITE).frozen


def test_a_token_of_one_sign_in_is_no_good_in_another(there: Served) -> None:
    form = sign_in(there, "operate")
    there.http.cookies.clear()
    sign_in(there, "admin")
    assert post(there, f"{HERE}/do/freeze", form, about=SOURCE).status_code == 403


def test_scopes_decide_what_is_shown_and_allowed(there: Served) -> None:
    request = there.decide(crop()).json()["request_id"]
    pages = {
        HERE: "operate",
        f"{HERE}/do/freeze": "operate",
        f"{HERE}/decisions/{request}": "operate",
        f"{HERE}/try": "score",
        "/console/ledger": "admin",
    }
    for scope in Scope:
        there.http.cookies.clear()
        form = sign_in(there, scope.value)
        home = there.http.get("/console").text
        assert ("In force" in home) == (scope is not Scope.SCORE)
        assert ("Try it" in home) == (scope is not Scope.OPERATE)
        assert ("/console/ledger" in home) == (scope is Scope.ADMIN)
        for path, needed in pages.items():
            allowed = scope is Scope.ADMIN or scope.value == needed
            assert there.http.get(path).status_code == (200 if allowed else 403), (scope, path)
        if scope is Scope.SCORE:
            assert post(there, f"{HERE}/do/freeze", form, about=SOURCE).status_code == 403
            assert post(there, "/console/ledger", form).status_code == 403


def test_a_key_bound_to_a_site_sees_that_one_only(there: Served) -> None:
    there.store.add_site("other")
    _, key = there.store.add_key("guard", [Scope.ADMIN], "other")
    form = token(enter(there, key))
    home = there.http.get("/console").text
    assert "/console/sites/other" in home
    assert HERE not in home
    assert there.http.get("/console/sites/other").status_code == 200
    assert there.http.get(HERE).status_code == 403
    assert post(there, f"{HERE}/do/freeze", form, about=SOURCE).status_code == 403
    assert there.http.get("/console/ledger").status_code == 403


def test_a_candidate_is_approved_and_rolled_back(there: Served) -> None:
    made, form = waiting(there), sign_in(there, "operate")
    asked = there.http.get(f"{HERE}/do/approve").text
    assert made in asked
    assert "APCER print flat" in asked
    done = post(there, f"{HERE}/do/approve", form, about=made, reason="looks right")
    assert (done.status_code, done.headers["location"]) == (303, f"{HERE}?done=approve")
    assert there.store.site(SITE).state == made
    assert "The candidate is in force." in there.http.get(done.headers["location"]).text
    again = post(there, f"{HERE}/do/approve", form, about=made)
    assert again.status_code == 409

    stale = post(there, f"{HERE}/do/rollback", form, about="0" * 64, to=SOURCE)
    assert (stale.status_code, there.store.site(SITE).state) == (409, made)
    assert "source, the one before" in there.http.get(f"{HERE}/do/rollback").text
    assert post(there, f"{HERE}/do/rollback", form, about=made, to=SOURCE, reason="drill").status_code == 303
    assert there.store.site(SITE).state == SOURCE
    told = there.http.get(HERE).text
    for words in ("looks right", "drill", f"operate (key {there.records['operate'].id})", "rolled back"):
        assert words in told, words
    assert there.http.get(f"{HERE}/do/rollback").status_code == 409


def test_a_candidate_is_rejected_and_a_site_frozen(there: Served) -> None:
    made, form = waiting(there), sign_in(there, "operate")
    assert post(there, f"{HERE}/do/reject", form, about=made, reason="no").status_code == 303
    assert there.store.state(made).status == "rejected"
    assert post(there, f"{HERE}/do/freeze", form, about=SOURCE).status_code == 303
    assert there.store.site(SITE).frozen
    assert f"{HERE}/do/unfreeze" in there.http.get(HERE).text
    assert there.http.get(f"{HERE}/do/freeze").status_code == 409
    assert post(there, f"{HERE}/do/unfreeze", form, about=SOURCE).status_code == 303
    assert not there.store.site(SITE).frozen
    long = post(there, f"{HERE}/do/freeze", form, about=SOURCE, reason="x" * 501)
    assert (long.status_code, there.store.site(SITE).frozen) == (422, False)


def test_try_it_decides_shows_the_crops_and_teaches_nothing(there: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def offer(*_: object) -> None:
        raise AssertionError("nothing is learnt from what is tried")

    monkeypatch.setattr(there.service.adaptation, "offer", offer)
    there.store.set_policy(SITE, Policy.OBSERVE, "ann")
    form = sign_in(there, "score")
    fields = {"form": form, "box": "full", "subject": "somebody", "device": ""}
    tried = there.http.post(f"{HERE}/try", data=fields, files={**crop(), "ir": b""})
    assert tried.status_code == 200
    stored = there.store.decisions(SITE)[0][1]
    assert (stored.present, stored.missing, stored.key_id) == ("rgb,depth", "ir", there.records["score"].id)
    assert f"{stored.score:.3f}" in tried.text
    assert tried.text.count('src="data:image/png;base64,') == 2
    assert there.service.secret.pseudonym(SITE, "subject", "somebody") == stored.subject


def test_try_it_withholds_scores_where_the_service_does(tmp_path: Path) -> None:
    with served(tmp_path, tell_scores=False) as running:
        form = sign_in(running, "score")
        tried = running.http.post(f"{HERE}/try", data={"form": form, "box": "full"}, files=crop()).text
        assert "Scores are withheld" in tried
        assert f"{running.store.decisions(SITE)[0][1].score:.3f}" not in tried


@pytest.mark.parametrize(
    ("files", "fields", "status", "told"),
    [
        ({"rgb": b"not an image"}, {}, 422, "rgb"),
        ({"rgb": b""}, {}, 422, "expected at least one of rgb, depth, ir"),
        ({}, {"depth_scale_m": "x"}, 422, "decimal number"),
    ],
)
def test_try_it_says_what_is_wrong_and_keeps_what_was_typed(
    there: Served, files: dict[str, bytes], fields: dict[str, str], status: int, told: str
) -> None:
    form = sign_in(there)
    data = {"form": form, "subject": NASTY, **fields}
    refused = there.http.post(f"{HERE}/try", data=data, files=files or crop())
    assert refused.status_code == status
    assert told in refused.text
    assert NASTY not in refused.text
    assert NASTY in unescape(refused.text)


def test_names_and_reasons_are_escaped(there: Served) -> None:
    _, key = there.store.add_key(NASTY, [Scope.ADMIN])
    made, form = waiting(there), token(enter(there, key))
    post(there, f"{HERE}/do/approve", form, about=made, reason=NASTY)
    there.store.record_decision(decision(SITE, request_id="0" * 32, decision=None, score=None, reason=NASTY))
    there.store.record_steps(SITE, [step(reason=NASTY, accepted=False)])
    there.store.alarm(SITE, NASTY)
    for path in ("/console", HERE, f"{HERE}/decisions/{'0' * 32}", f"{HERE}?done={NASTY}", f"/console/sites/{NASTY}"):
        text = there.http.get(path).text
        assert NASTY not in text, path
        assert NASTY in unescape(text), path
    anchored = post(there, "/console/ledger", form, anchor=NASTY)
    assert (NASTY in anchored.text, NASTY in unescape(anchored.text)) == (False, True)


def test_the_ledger_is_verified_and_a_change_is_found(there: Served) -> None:
    there.decide(crop())
    form = sign_in(there)
    head = ":".join(map(str, there.store.ledger_head()))
    assert head in there.http.get("/console/ledger").text
    assert "It is whole" in post(there, "/console/ledger", form, anchor=head).text
    mistyped = post(there, "/console/ledger", form, anchor="1:x").text
    assert "Nothing was verified: expected an anchor" in mistyped
    assert "does not verify" not in mistyped  # nobody has touched the ledger
    with there.store.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE decisions SET score = 0.999")
    text = post(there, "/console/ledger", form).text
    assert "does not verify" in text
    assert "its decision was changed" in text


def test_a_decision_is_found_by_how_its_id_begins(there: Served) -> None:
    sign_in(there)
    for identity in ("0123456789abcdef" * 2, "0123456789ab0000" * 2, "fedcba9876543210" * 2 + ".0"):
        there.store.record_decision(decision(SITE, request_id=identity))
    find = f"{HERE}/decisions?request_id="
    assert there.http.get(f"{find}0123456789abc", follow_redirects=False).headers["location"].endswith("abcdef")
    assert there.http.get(f"{find}fedcba987654", follow_redirects=False).headers["location"].endswith("3210.0")
    several = there.http.get(f"{find}0123456789ab")
    assert (several.status_code, "several begin with" in several.text) == (422, True)
    assert there.http.get(f"{find}aaaaaaaaaaaa").status_code == 404
    assert "fedcba987654.0" in there.http.get(HERE).text


def test_errors_are_pages(there: Served) -> None:
    sign_in(there)
    cases = {
        "/console/nothing": 404,
        "/console/sites/unknown": 404,
        "/console/sites/UPPER": 404,
        f"{HERE}/decisions/{'0' * 32}": 404,
        f"{HERE}/decisions?request_id=x": 422,
        f"{HERE}/do/explode": 404,
        f"{HERE}/do/approve": 409,
    }
    for path, status in cases.items():
        response = there.http.get(path)
        assert response.status_code == status, path
        assert response.headers["content-security-policy"] == POLICY
        assert response.headers["x-request-id"] in response.text
    body = there.http.post(f"{HERE}/do/freeze", json={})
    assert (body.status_code, "<h1>" in body.text) == (415, True)


def test_a_fault_of_ours_tells_nothing_of_itself(there: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in(there)
    monkeypatch.setattr(there.store, "outcomes", lambda *_: 1 / 0)
    response = there.http.get(HERE)
    assert response.status_code == 500
    assert "division" not in response.text
    assert response.headers["x-request-id"] in response.text


def test_pages_count_against_the_rate_of_the_key(tmp_path: Path) -> None:
    with served(tmp_path, limits={"rate_per_second": 1e-6, "burst": 4}) as running:
        sign_in(running)
        seen = [running.http.get("/console").status_code for _ in range(4)]
        assert seen[-1] == 429
        guesses = [enter(running, "mfas_guess").status_code for _ in range(5)]
        assert guesses == [401, 401, 401, 401, 429]


def test_pages_are_none_of_the_interface(there: Served) -> None:
    assert "console" not in there.http.get("/v1/openapi.json").text
