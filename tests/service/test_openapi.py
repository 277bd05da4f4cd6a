"""The document of the interface: as it was agreed, complete, and true of what the service answers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from longer import MORE
from served import Served, served

SNAPSHOT = Path(__file__).with_name("openapi.json")
CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("service")) as running:
        yield running


def document(there: Served) -> dict[str, Any]:
    found: dict[str, Any] = there.http.get("/v1/openapi.json").json()
    return found


def test_the_document_is_the_one_agreed_on(there: Served) -> None:
    """After a change on purpose: ``MFAS_SNAPSHOT=write pytest tests/service/test_openapi.py``."""
    found = document(there)
    found["info"]["version"] = "-"
    if os.environ.get("MFAS_SNAPSHOT") == "write":
        SNAPSHOT.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", "utf-8")
    assert json.loads(SNAPSHOT.read_text("utf-8")) == found


def test_it_is_openapi_3_1_and_every_error_has_the_one_shape(there: Served) -> None:
    found = document(there)
    assert found["openapi"].startswith("3.1")
    assert set(found["components"]["schemas"]["ErrorBody"]["required"]) == {"code", "message", "request_id"}
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], path
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    schema = response["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/ErrorBody"}, (method, path, status)
    assert "HTTPValidationError" not in json.dumps(found)


def test_every_documented_operation_is_there(there: Served) -> None:
    values = {"site": "default", "state": "0" * 64, "request_id": "0" * 32}
    for path, methods in document(there)["paths"].items():
        for method in methods:
            response = there.http.request(method, path.format(**values), headers=there.headers("admin"))
            assert response.status_code != 405
            if response.status_code == 404:
                assert response.json()["code"] in ("unknown_state", "unknown_decision")


def test_answers_are_as_the_document_says(there: Served) -> None:
    schema = schemathesis.openapi.from_asgi("/v1/openapi.json", there.http.app)
    tried: set[str] = set()
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=5 * MORE,
            deadline=None,
            derandomize=MORE == 1,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def try_it(case: Any) -> None:
            case.call_and_validate(headers=there.headers("admin"), checks=CHECKS)

        try_it()
        tried.add(operation.label)
    assert len(tried) == sum(len(methods) for methods in document(there)["paths"].values())
