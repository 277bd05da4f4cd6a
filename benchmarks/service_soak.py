"""Half of what the service can do, for long, while it learns: the growth of its memory and of its answers' delay.

``python benchmarks/service_soak.py [MINUTES]`` (10) measures for a tenth of that time, at most ten seconds, what four
clients get through, then asks for half of it in an open loop. Policy ``auto``, bounds that let candidates through.
Prints JSON: the slope of resident memory over all but the first fifth (MiB a minute), and p99 of the first and the last
fifth.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import service_bench as bench
import service_traffic as traffic

from mfas.service.states import Policy


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("minutes", type=float, nargs="?", default=10)
    parser.add_argument("--database")
    given = parser.parse_args()
    with TemporaryDirectory() as name:
        database = given.database or f"sqlite:///{name}/service.db"
        result = run(Path(name), database, 60 * given.minutes)
    print(json.dumps(result, indent=2))
    return 1 if result["faults"] else 0


def run(folder: Path, database: str, seconds: float) -> dict[str, Any]:
    """The load, and a look at the memory every second."""
    shots = bench.shots(bench.simulated(folder / "site", 96))
    bench.simulated(folder / "canary", 48, seed=2)
    learning = bench.quick_learning(folder / "canary")
    bench.prepare(database, Policy.AUTO)
    times: list[float] = []
    memory: list[float] = []
    config = {"limits": bench.UNLIMITED, "learning": learning, "bounds": bench.LOOSE}
    with bench.Server(folder, database, config) as server:
        trial = min(10.0, seconds / 10)
        full = traffic.for_seconds(traffic.Load([server.url], traffic.by_strangers(shots)), trial)
        rate = max(1.0, len(full) / trial / 2)
        begun = time.monotonic()
        with traffic.Load([server.url], traffic.by_strangers(shots), rate=rate) as load:
            while (passed := time.monotonic() - begun) < seconds:
                times.append(passed)
                memory.append(server.memory_mib())
                time.sleep(min(1.0, seconds / 20))
        found = bench.found_in_store(database, traffic.answered(load.answers))
    late = np.array(times) > seconds / 5
    slope = float(np.polyfit(np.array(times)[late], np.array(memory)[late], 1)[0]) * 60
    first = [a for a in load.answers if a.at < seconds / 5]
    last = [a for a in load.answers if a.at >= seconds * 4 / 5]
    return {
        "minutes": round(seconds / 60, 2),
        "requests_per_second": round(rate, 1),
        "statuses": traffic.statuses(load.answers),
        "memory_mib": {"first": round(memory[0], 1), "last": round(memory[-1], 1)},
        "memory_slope_mib_per_minute": round(slope, 2),
        "first_fifth": traffic.milliseconds(first),
        "last_fifth": traffic.milliseconds(last),
        "promotions": found["promotions"],
        "faults": bench.faults(found),
    }


if __name__ == "__main__":
    sys.exit(main())
