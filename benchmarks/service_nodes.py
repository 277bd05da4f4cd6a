"""Two nodes on one PostgreSQL; the one that learns is killed with SIGKILL in the middle of its work.

``python benchmarks/service_nodes.py [SECONDS]`` (20) starts a PostgreSQL server of its own from ``/usr/lib/postgresql``
(as user postgres when it is started by root) unless ``--database`` names an empty database, and two nodes with one
secret. Four clients ask both in turn while the site learns with policy ``auto``. After half of the time the leader is
killed as soon as another step of its shadow was written, so that the next one runs. Prints JSON: whether an answered
decision was lost, whether the ledger is one chain and the states are one line, and after how many seconds the other
node took the lead and learnt. Exit code 1 when something was lost or nobody took over.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import service_bench as bench
import service_traffic as traffic
import sqlalchemy as sa

from mfas.service.states import Policy
from mfas.service.store import Store

NODES = ("first", "second")
PATIENCE = 120.0


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seconds", type=float, nargs="?", default=20)
    parser.add_argument("--database")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if given.database:
            result = run(Path(name), given.database, given.seconds)
        else:
            with postgresql() as database:
                result = run(Path(name), database, given.seconds)
    print(json.dumps(result, indent=2))
    return 1 if result["faults"] else 0


def run(folder: Path, database: str, seconds: float) -> dict[str, Any]:
    """Load, kill, compare."""
    shots = bench.shots(bench.simulated(folder / "site", 96))
    bench.simulated(folder / "canary", 48, seed=2)
    learning = bench.quick_learning(folder / "canary")
    config = {"limits": bench.UNLIMITED, "learning": learning, "bounds": bench.LOOSE}
    bench.prepare(database, Policy.AUTO)
    store = Store(database)
    own = {name: f"{database}{'&' if '?' in database else '?'}application_name={name}" for name in NODES}
    with (
        bench.Server(folder, own["first"], config, "first") as first,
        bench.Server(folder, own["second"], config, "second") as second,
    ):
        nodes = dict(zip(NODES, (first, second), strict=True))
        with traffic.Load([first.url, second.url], traffic.by_strangers(shots)) as load:
            time.sleep(seconds / 2)
            leader = _wait(lambda: _leader(store))
            learnt = _latest_step(store)
            _wait(lambda: _latest_step(store) > learnt)
            nodes[leader].kill()
            killed, learnt = time.monotonic(), _latest_step(store)
            other = _wait(lambda: (now := _leader(store)) != leader and now)
            took = time.monotonic() - killed
            _wait(lambda: _latest_step(store) > learnt)
            learns = time.monotonic() - killed
            time.sleep(seconds / 2)
        found = bench.found_in_store(database, traffic.answered(load.answers))
    store.close()
    faults = bench.faults(found)
    faults += [f"status {a.status}" for a in load.answers if a.status >= 500 and not a.retry_after]
    return {
        "answered": found["answered"],
        "unanswered": sum(a.status == 0 for a in load.answers),
        "ledger_rows": found["ledger_rows"],
        "promotions": found["promotions"],
        "killed": leader,
        "leads_now": other,
        "took_the_lead_after_seconds": round(took, 2),
        "learnt_after_seconds": round(learns, 2),
        "faults": faults,
    }


def _wait(asked: Callable[[], Any]) -> Any:
    """Until the question has an answer."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if found := asked():
            return found
        time.sleep(0.01)
    raise TimeoutError(f"nothing happened in {PATIENCE:g} s: does a node lead, and does its shadow learn?")


def _leader(store: Store) -> str:
    """Name of the node that holds the site's advisory lock, as the server knows it; '' while nobody does."""
    held = (
        "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) "
        "WHERE locktype = 'advisory' AND granted AND application_name IN ('first', 'second') "
        "AND state = 'idle' AND wait_event = 'ClientRead'"
    )
    with store.database.engine.connect() as connection:
        names = {row[0] for row in connection.execute(sa.text(held))}
    return str(names.pop()) if len(names) == 1 else ""


def _latest_step(store: Store) -> int:
    """Number of the newest step."""
    found = store.steps(bench.SITE, limit=1)
    return found[0][0] if found else 0


@contextmanager
def postgresql() -> Iterator[str]:
    """URL of an empty database on a server of its own, which never runs as root."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if not found:
        raise SystemExit("no PostgreSQL below /usr/lib/postgresql: give --database")
    where, folder = found[-1].parent, Path(tempfile.mkdtemp(prefix="mfas-nodes-", dir="/tmp"))
    drop = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    if drop:
        shutil.chown(folder, "postgres", "postgres")
    init = [*drop, str(where / "initdb"), "-D", f"{folder}/data", "-U", "postgres", "-A", "trust", "-E", "UTF8"]
    subprocess.run(init, check=True, capture_output=True, cwd="/")
    options = ["-D", f"{folder}/data", "-k", str(folder), "-c", "listen_addresses=", "-c", "log_destination=stderr"]
    running = subprocess.Popen([*drop, str(where / "postgres"), *options], stderr=subprocess.DEVNULL, cwd="/")
    try:
        url = f"postgresql://postgres@/postgres?host={folder}"
        engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
        for _ in range(600):
            try:
                engine.connect().close()
                break
            except sa.exc.OperationalError:
                time.sleep(0.05)
        engine.dispose()
        yield url
    finally:
        running.send_signal(signal.SIGQUIT)
        running.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
