"""The service, killed with SIGKILL at random moments under load while it learns, and started again each time.

``python benchmarks/service_kill.py [KILLS] [SEED]`` (50, 0) lets a site learn with policy ``auto`` and bounds that let
every candidate through, so that promotions happen all the time; four clients ask without pause. After each restart:
every decision that was answered is in the store and in the ledger as it was told, the ledger verifies, and the state in
force was promoted at some time. Prints JSON. Exit code 1 when any of this was not so, or when nothing was promoted
in ten kills or more.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import service_bench as bench
import service_traffic as traffic

from mfas.errors import InputError
from mfas.service.states import Policy

LATEST = 12.0
"""Seconds after the start of the load up to which a kill may come."""


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kills", type=int, nargs="?", default=50)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    parser.add_argument("--database")
    given = parser.parse_args()
    with TemporaryDirectory() as name:
        database = given.database or f"sqlite:///{name}/service.db"
        result = run(Path(name), database, given.kills, random.Random(given.seed))
    print(json.dumps(result, indent=2))
    return 1 if result["faults"] or (given.kills >= 10 and not result["promotions"]) else 0


def run(folder: Path, database: str, kills: int, chance: random.Random) -> dict[str, Any]:
    """Kill, start, compare; so many times."""
    shots = bench.shots(bench.simulated(folder / "site", 96))
    bench.simulated(folder / "canary", 48, seed=2)
    learning = bench.quick_learning(folder / "canary")
    config = {"limits": bench.UNLIMITED, "learning": learning, "bounds": bench.LOOSE}
    bench.prepare(database, Policy.AUTO)
    faults: list[str] = []
    answered, unanswered, found = 0, 0, {}
    with bench.Server(folder, database, config) as server:
        for number in range(kills):
            with traffic.Load([server.url], traffic.by_strangers(shots)) as load:
                time.sleep(chance.uniform(0.1, LATEST))
                server.kill()
            server.start()
            answered += sum(a.status == 200 for a in load.answers)
            unanswered += sum(a.status == 0 for a in load.answers)
            faults += [f"kill {number}: status {a.status}" for a in load.answers if a.status >= 500]
            try:
                found = bench.found_in_store(database, traffic.answered(load.answers))
            except InputError as reason:
                faults.append(f"kill {number}: {reason}")
            else:
                faults += [f"kill {number}: {fault}" for fault in bench.faults(found)]
    kept = {key: found.get(key, 0) for key in ("ledger_rows", "promotions")}
    return {"kills": kills, "answered": answered, "unanswered": unanswered, **kept, "faults": faults}


if __name__ == "__main__":
    sys.exit(main())
