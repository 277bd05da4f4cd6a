"""Who may do what, and that every refusal has the one shape and tells nothing of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mfas
from mfas.service.api.errors import CODES
from mfas.service.keys import Scope
from served import SITE, Served, crop, served

STATE = "0" * 64


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("service")) as running:
        yield running


def is_error(response: Any, status: int | None = None) -> dict[str, str]:
    """The body, if it has the shape of all errors and holds no path and no stack."""
    assert status is None or response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["code", "message", "request_id"]
    assert body["request_id"] == response.headers["x-request-id"]
    installed = str(Path(mfas.__file__).parent)
    for secret in (installed, "site-packages", "Traceback", 'File "', ".py", str(Path.cwd()), "/tmp/"):
        assert secret not in response.text
    return dict(body)


OPERATIONS = [
    ("POST", f"/v1/sites/{SITE}/decisions", "score"),
    ("POST", f"/v1/sites/{SITE}/decisions/batch", "score"),
    ("GET", f"/v1/sites/{SITE}/decisions/{'0' * 32}", "operate"),
    ("GET", "/v1/sites", "operate"),
    ("GET", f"/v1/sites/{SITE}", "operate"),
    ("PUT", f"/v1/sites/{SITE}", "admin"),
    ("GET", f"/v1/sites/{SITE}/states", "operate"),
    ("GET", f"/v1/sites/{SITE}/steps", "operate"),
    ("GET", f"/v1/sites/{SITE}/approvals", "operate"),
    ("GET", f"/v1/sites/{SITE}/states/{STATE}/canary", "operate"),
    ("POST", f"/v1/sites/{SITE}/states/{STATE}/approve", "operate"),
    ("POST", f"/v1/sites/{SITE}/states/{STATE}/reject", "operate"),
    ("POST", f"/v1/sites/{SITE}/rollback", "operate"),
    ("POST", f"/v1/sites/{SITE}/freeze", "operate"),
    ("POST", f"/v1/sites/{SITE}/unfreeze", "operate"),
    ("DELETE", f"/v1/sites/{SITE}/subjects", "admin"),
]
OPEN = {"/v1/health", "/v1/ready", "/v1/version", "/v1/openapi.json", "/metrics"}


def test_every_route_stands_in_the_table_of_scopes(there: Served) -> None:
    listed = {(method, path) for method, path, _ in OPERATIONS}
    documented = {
        (method.upper(), path.format(site=SITE, state=STATE, request_id="0" * 32))
        for path, methods in there.http.get("/v1/openapi.json").json()["paths"].items()
        for method in methods
        if path not in OPEN
    }
    assert documented == listed


@pytest.mark.parametrize(("method", "path", "scope"), OPERATIONS)
def test_scopes(there: Served, method: str, path: str, scope: str) -> None:
    assert is_error(there.http.request(method, path), 401)["code"] == "unauthenticated"
    wrong = there.http.request(method, path, headers={"Authorization": "Bearer mfas_wrong"})
    assert is_error(wrong, 401)
    assert wrong.headers["www-authenticate"] == "Bearer"
    for held in Scope:
        response = there.http.request(method, path, headers=there.headers(held.value))
        allowed = held.value in (scope, "admin")
        assert (response.status_code not in (401, 403)) == allowed, response.text
        if response.status_code >= 400:
            is_error(response)


def test_a_key_of_one_site_sees_no_other(there: Served) -> None:
    there.store.add_site("elsewhere")
    _, key = there.store.add_key("bound", [Scope.ADMIN], "elsewhere")
    headers = {"Authorization": f"Bearer {key}"}
    assert [site["name"] for site in there.http.get("/v1/sites", headers=headers).json()] == ["elsewhere"]
    assert there.http.get("/v1/sites/elsewhere", headers=headers).status_code == 200
    for name in (SITE, "unknown"):
        assert is_error(there.http.get(f"/v1/sites/{name}", headers=headers), 403)
        assert is_error(there.http.put(f"/v1/sites/{name}", json={}, headers=headers), 403)
    assert is_error(there.http.get("/metrics", headers=headers), 403)


def test_metrics_need_an_operator(there: Served) -> None:
    assert is_error(there.http.get("/metrics"), 401)
    assert is_error(there.http.get("/metrics", headers=there.headers("score")), 403)
    text = there.http.get("/metrics", headers=there.headers("operate")).text
    for name in ("mfas_requests_total", "mfas_request_seconds_bucket", "mfas_queue_depth", "mfas_rejections_total"):
        assert name in text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/sites/", 404),
        ("GET", "/docs", 404),
        ("GET", "/v1/../../etc/passwd", 404),
        ("POST", "/v1/health", 405),
        ("DELETE", f"/v1/sites/{SITE}", 405),
        ("TRACE", "/v1/sites", 405),
    ],
)
def test_unknown_addresses_and_methods(there: Served, method: str, path: str, status: int) -> None:
    body = is_error(there.http.request(method, path), status)
    assert body["code"] == CODES[status][0]


def test_content_types(there: Served) -> None:
    headers = there.headers("admin")
    decisions = f"/v1/sites/{SITE}/decisions"
    for sent in ({"json": {}}, {"data": {"box": "full"}}, {"content": b"x", "headers": {"Content-Type": "image/png"}}):
        mixed = {**sent, "headers": {**headers, **sent.get("headers", {})}}  # type: ignore[dict-item]
        assert is_error(there.http.post(decisions, **mixed), 415)  # type: ignore[arg-type]
    for kind in ("text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", ""):
        sent_as = {**headers, "Content-Type": kind}
        assert is_error(there.http.put(f"/v1/sites/{SITE}", content=b"{}", headers=sent_as), 415)


@pytest.mark.parametrize(
    "body",
    [
        '{"policy": "always"}',
        '{"policy": true}',
        '{"retention_days": "30"}',
        '{"retention_days": true}',
        '{"retention_days": 0}',
        '{"retention_days": 1096}',
        '{"retention_days": 1e309}',
        '{"retention_days": NaN}',
        '{"retention_days": 1.5}',
        '{"other": 1}',
        "[]",
        "null",
        "{",
        "\xff",
        "[" * 5000,
    ],
)
def test_json_is_taken_strictly(there: Served, body: str) -> None:
    before = there.store.site(SITE)
    headers = {**there.headers("admin"), "Content-Type": "application/json"}
    response = there.http.put(f"/v1/sites/{SITE}", content=body.encode("latin-1"), headers=headers)
    assert is_error(response, 422)["code"] == "invalid"
    assert there.store.site(SITE) == before


def test_multipart_that_is_none(there: Served) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=cut", **there.headers("score")}
    part = b'--cut\r\nContent-Disposition: form-data; name="rgb"\r\n\r\n'
    bodies = [
        b"",
        b"nothing",
        part,
        part + b"half",
        b"--cut\r\nContent-Disposition: form-data\r\n\r\nx\r\n--cut--\r\n",
        b"--cut\r\nX: " + b"y" * 10_000 + b"\r\n\r\nx\r\n--cut--\r\n",
        part + b"x\r\n" + part + b"x\r\n--cut--\r\n",
        part.replace(b"rgb", b"colour") + b"x\r\n--cut--\r\n",
    ]
    for body in bodies:
        assert is_error(there.http.post(f"/v1/sites/{SITE}/decisions", content=body, headers=kind), 422)


def test_whatever_goes_wrong_within_tells_only_that_it_did(
    there: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError(f"no such file: {__file__}")

    monkeypatch.setattr(there.service.source, "predict", broken)
    body = is_error(there.decide(crop()), 500)
    assert body["code"] == "internal"
    assert body["request_id"] in caplog.text
    assert "no such file" in caplog.text


def test_answers_are_neither_kept_nor_sniffed(there: Served) -> None:
    for response in (there.http.get("/v1/health"), there.http.get("/nowhere"), there.decide(crop())):
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "server" not in response.headers
