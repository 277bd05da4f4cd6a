"""The commands that measure the service run, and tell what they measured; how fast is not the business of a test."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("numba")
pytest.importorskip("fastapi")

SCRIPTS = Path(__file__).parents[2] / "benchmarks"
BROKEN = {"answered": 3, "lost": 1, "changed": 0, "forks": 0, "answers_by_states_never_promoted": 2}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import service_bench

    return service_bench


@pytest.fixture
def measured(bench: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a script; gives its exit code and what it printed."""
    del bench

    def run(name: str, *argv: object) -> tuple[object, Any]:
        monkeypatch.setattr(sys, "argv", [name, *map(str, argv)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(SCRIPTS / name), run_name="__main__")
        return ended.value.code, json.loads(capsys.readouterr().out)

    return run


def test_latency(measured: Any) -> None:
    code, told = measured("service_load.py", "latency", 1, 4, "--captures", 9)
    assert code == 0
    assert set(told["statuses"]) == {"200"}
    assert told["requests"] >= 4
    assert 0 < told["p50_ms"] <= told["p99_ms"]


def test_a_kill_loses_nothing(measured: Any) -> None:
    code, told = measured("service_kill.py", 1, 3)
    assert code == 0, told
    assert told["faults"] == []
    assert told["kills"] == 1
    assert told["unanswered"] > 0
    assert told["ledger_rows"] > told["answered"] >= 0


def test_what_is_lost_or_was_never_promoted_is_told(bench: Any) -> None:
    found = {**BROKEN, "state": "abc", "state_was_promoted": False}
    assert bench.faults(found) == ["1 lost", "2 answers by states never promoted", "state abc was never promoted"]
    whole = dict.fromkeys(BROKEN, 0) | {"state": "source", "state_was_promoted": True}
    assert bench.faults(whole) == []


def test_answers_are_compared_with_the_store(bench: Any, tmp_path: Path) -> None:
    from mfas.service.store import Store
    from stored import decision

    url = f"sqlite:///{tmp_path}/s.db"
    bench.prepare(url)
    store = Store(url)
    store.record_decisions([decision(bench.SITE, request_id=name) for name in ("kept", "other")])
    store.close()
    told = {"outcome": "scored", "decision": "bona_fide", "state_id": "source"}
    found = bench.found_in_store(url, [{"request_id": "kept", **told}])
    assert bench.faults(found) == []
    wrong = [
        {"request_id": "gone", **told},
        {"request_id": "kept", **told, "decision": "attack"},
        {"request_id": "other", **told, "state_id": "abc"},
    ]
    assert bench.faults(bench.found_in_store(url, wrong)) == [
        "1 lost",
        "2 changed",
        "1 answers by states never promoted",
    ]
