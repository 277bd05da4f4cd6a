"""kill -9 at a random moment: what was acknowledged is there, and what serves was promoted."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, Queue

import pytest

from mfas.service.leading import lease
from mfas.service.ledger import verify
from mfas.service.states import SOURCE, Policy
from mfas.service.store import Store
from mfas.service.store.types import Status
from stored import BASE

PROGRAM = Path(__file__).resolve().parents[2] / "crashing.py"


class Child:
    """`crashing.py` in a process of its own, and the lines it has said."""

    def __init__(self, url: str, work: str, name: str) -> None:
        command = [sys.executable, str(PROGRAM), url, work, name]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.lines: Queue[str] = Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line.strip())

    def wait_for(self, start: str, seconds: float = 30) -> str:
        """The first line from now on that begins with ``start``."""
        until = time.monotonic() + seconds
        while True:
            line = self.lines.get(timeout=max(until - time.monotonic(), 0.01))
            if line.startswith(start):
                return line

    def kill(self) -> list[str]:
        """Kill it, and give what it had said and nobody has read."""
        self.process.kill()
        self.process.wait(10)
        found: list[str] = []
        while True:
            try:
                found.append(self.lines.get(timeout=0.2))
            except Empty:
                return found


@pytest.fixture
def ready(url: str) -> Store:
    store = Store(url)
    store.migrate()
    store.add_site("door", Policy.AUTO)
    store.adopt_base("door", BASE)
    return store


def test_every_acknowledged_decision_survives(ready: Store, url: str) -> None:
    moments = random.Random(1)
    acknowledged: list[str] = []
    for round_ in range(3):
        child = Child(url, "record", f"round{round_}")
        acknowledged.append(child.wait_for("round"))
        time.sleep(moments.uniform(0.05, 0.6))
        acknowledged += child.kill()
    found = verify(ready.database)
    kept = {one.request_id for _, one in ready.decisions("door", limit=10**6)}
    assert len(acknowledged) > 12
    assert set(acknowledged) <= kept
    assert ready.site("door").decisions == len(kept) == found.records


def test_what_serves_after_a_crash_was_promoted(ready: Store, url: str) -> None:
    moments = random.Random(2)
    for _ in range(3):
        child = Child(url, "change", "x")
        child.wait_for("")
        time.sleep(moments.uniform(0.02, 0.5))
        child.kill()
        verify(ready.database)
        site = ready.site("door")
        rows = ready.ledger(kinds=("promoted", "rolled_back"), limit=10**6)
        assert site.state == (rows[-1].payload["to"] if rows else SOURCE)
        assert site.state == SOURCE or ready.state(site.state).status is Status.PROMOTED
        if site.candidate is not None:
            assert ready.state(site.candidate).status is Status.CANDIDATE
            ready.reject("door", site.candidate, "ann")
        if site.phase == "rolled_back":
            ready.rest_over("door")


def test_another_node_takes_over_and_no_line_forks(ready: Store, url: str) -> None:
    first, second = Child(url, "lead", "first"), Child(url, "lead", "second")
    leader, other = first, second
    until = time.monotonic() + 30
    while time.monotonic() < until and first.lines.empty() and second.lines.empty():
        time.sleep(0.02)
    if not second.lines.empty():
        leader, other = second, first
    leader.wait_for("promoted")
    time.sleep(0.5)
    assert other.lines.empty()
    assert not lease(ready.database, "door").hold()
    before = leader.kill()
    started = time.monotonic()
    other.wait_for("leading")
    assert time.monotonic() - started < 10
    other.wait_for("promoted")
    after = other.kill()
    assert not [line for line in before + after if line.startswith("refused")]
    promoted = [row.payload for row in ready.ledger(kinds=("promoted",), limit=10**6)]
    parents = [row["from"] for row in promoted]
    assert len(set(parents)) == len(parents)
    assert parents[1:] == [row["to"] for row in promoted][:-1]
    verify(ready.database)


def test_leadership_is_given_back(ready: Store) -> None:
    own, other = lease(ready.database, "door"), lease(ready.database, "door")
    assert own.hold()
    assert own.hold()
    assert not other.hold()
    assert lease(ready.database, "gate").hold()
    own.release()
    own.release()
    assert other.hold()
    other.release()


@pytest.fixture
def terminate(postgresql: str) -> Callable[[], None]:
    """Ends every session that holds an advisory lock, as a server that is restarted does."""
    import sqlalchemy as sa

    def end() -> None:
        engine = Store(postgresql).database.engine
        with engine.connect() as connection:
            found = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            connection.execute(sa.text(found))

    return end


def test_a_lost_connection_is_lost_leadership(postgresql: str, terminate: Callable[[], None]) -> None:
    store, other = Store(postgresql), Store(postgresql)
    own = lease(store.database, "door")
    assert own.hold()
    terminate()
    rival = lease(other.database, "door")
    for _ in range(100):
        if rival.hold():
            break
        time.sleep(0.02)
    assert rival.hold()
    assert not own.hold()
    rival.release()
    assert own.hold()
    own.release()
