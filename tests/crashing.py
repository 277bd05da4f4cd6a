"""Run as a program that is killed: works on a store until then, and says on standard output what it was promised."""

from __future__ import annotations

import sys
import threading
import time

from mfas.service.leading import lease
from mfas.service.states import SOURCE, NotAllowedError
from mfas.service.store import Store
from mfas.service.verdicts import Bounds
from stored import PROMOTE, REJECT, WAIT, decision, state


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def record(store: Store, name: str) -> None:
    """Decisions by four threads, one or five at a time."""

    def work(thread: int) -> None:
        for number in range(100_000):
            size = 5 if number % 3 == 0 else 1
            given = [decision(request_id=f"{name}-{thread}-{number}-{i}") for i in range(size)]
            store.record_decisions(given)
            for one in given:
                say(one.request_id)

    for thread in range(4):
        threading.Thread(target=work, args=(thread,), daemon=True).start()
    time.sleep(60)


def change(store: Store, name: str) -> None:
    """Candidates of every fate, approvals and rollbacks, as fast as they go."""
    del name
    for number in range(100_000):
        site = store.site("door")
        store.submit(own := state(site.state), (), (PROMOTE, WAIT, REJECT)[number % 3])
        if store.site("door").candidate == own.id:
            store.approve("door", own.id, "ann")
        if number % 5 == 4 and store.site("door").state != SOURCE:
            store.rollback("door", "ann", to=SOURCE if number % 2 else None)
            store.rest_over("door")
        say(store.site("door").state)


def lead(store: Store, name: str) -> None:
    """Wait for leadership, then promote one state on the other."""
    own = lease(store.database, "door")
    while not own.hold():
        time.sleep(0.02)
    say("leading", name)
    for _ in range(100_000):
        if own.hold():
            try:
                say("promoted", store.submit(state(store.site("door").state), (), PROMOTE).state)
            except NotAllowedError as reason:
                say("refused", reason)
        time.sleep(0.01)


def main(url: str, work: str, name: str) -> None:
    store = Store(url, bounds=Bounds(cool_down=0, rejections=1000, rollbacks_per_day=10**6))
    {"record": record, "change": change, "lead": lead}[work](store, name)


if __name__ == "__main__":
    main(*sys.argv[1:])
