"""How long the service takes, and what it does when too many come.

``python benchmarks/service_load.py latency [SECONDS] [RATE] [--faces]``: open loop, RATE requests a second over four
keys, each one capture of three modalities with its box; p50 and p99 from the moment a request was due. ``--faces``
sends pictures of 480 x 480 without boxes, so that the face is looked for.

``python benchmarks/service_load.py saturate [SECONDS]``: 200 parallel clients over 20 keys, half of them with batches
of eight, at the default limits: what came back, and the deepest queue that was seen, with what workers have in hand.
Then one worker, without limits of rate: captures per second of single requests and of batches of 32, as ratios of
`mfas score` on the same captures.

Both print JSON, start their own server, and take ``--database`` (an empty PostgreSQL database; default: a new SQLite
file) and ``--captures``. Exit code 1 when an answer broke the rules of `docs/service.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import service_bench as bench
import service_traffic as traffic

from mfas.data.manifest import Manifest, write_manifest
from mfas.service.settings import Limits

KEYS = 4
CROWD = 200
SCORED = 400


def latency(folder: Path, database: str, seconds: float, rate: float, captures: int, faces: bool) -> dict[str, Any]:
    """Open loop over four keys."""
    manifest = bench.simulated(folder / "site", captures, resolution=480 if faces else None)
    bodies = [bench.single(shot) for shot in bench.shots(manifest, complete=True, box=not faces)]
    keys = bench.prepare(database, keys=KEYS)
    limits = {"limits": {"rate_per_second": max(10.0, rate)}}
    with bench.Server(folder, database, limits) as server:

        def load(most: float | None) -> traffic.Load:
            make = lambda n: (traffic.decisions(), bodies[n % len(bodies)])  # noqa: E731
            return traffic.Load([server.url], make, clients=1, rate=most, keys=keys)

        traffic.for_seconds(load(None), 1)
        answers = traffic.for_seconds(load(rate), seconds)
    return {
        "seconds": seconds,
        "asked_per_second": rate,
        "requests": len(answers),
        "faces_looked_for": faces,
        **traffic.milliseconds(answers),
        "statuses": traffic.statuses(answers),
        "kept_rules": not broken(answers),
    }


def saturate(folder: Path, database: str, seconds: float, captures: int) -> dict[str, Any]:
    """Too many at once; then how many get through."""
    manifest = bench.simulated(folder / "site", captures)
    keys = bench.prepare(database, keys=20)
    with bench.Server(folder, database, {}) as server:
        crowd, deepest = _crowd(server, bench.shots(manifest), keys, seconds)
    with bench.Server(folder, database, {"workers": 1, "limits": bench.UNLIMITED}, "one") as server:
        alone, batched = _throughput(server, bench.shots(manifest), keys, seconds)
    offline = _offline(folder, manifest)
    return {
        "crowd": {
            "clients": CROWD,
            "statuses": traffic.statuses(crowd),
            "deepest_queue": deepest,
            "without_retry_after": sum(a.status in (429, 503) and not a.retry_after for a in crowd),
            **traffic.milliseconds(crowd),
        },
        "captures_per_second": {"single": alone, "batch_32": batched, "mfas_score": offline},
        "single_over_score": round(alone / offline, 3),
        "batch_over_score": round(batched / offline, 3),
        "kept_rules": not broken(crowd) and len(crowd) >= CROWD and deepest <= Limits().queue + (os.cpu_count() or 1),
    }


def _crowd(
    server: bench.Server, shots: Sequence[bench.Shot], keys: Sequence[str], seconds: float
) -> tuple[list[traffic.Answer], float]:
    alone = [bench.single(shot) for shot in shots]
    many = [bench.batch(shots[start : start + 8]) for start in range(0, len(shots) - 7, 8)]

    def make(number: int) -> tuple[str, bytes]:
        if number % 2:
            return f"{traffic.decisions()}/batch", many[number % len(many)]
        return traffic.decisions(), alone[number % len(alone)]

    deepest, until = 0.0, time.monotonic() + seconds
    with traffic.Load([server.url], make, clients=CROWD, keys=keys) as load:
        while load.running:
            if time.monotonic() >= until:
                load.end()
            deepest = max(deepest, server.figure("mfas_queue_depth "))
            time.sleep(0.1)
    return load.answers, deepest


def _throughput(
    server: bench.Server, shots: Sequence[bench.Shot], keys: Sequence[str], seconds: float
) -> tuple[float, float]:
    """Captures per second of four clients with one capture each, and of two with batches of 32."""
    alone = [bench.single(shot) for shot in shots]
    many = [bench.batch([shots[(start + k) % len(shots)] for k in range(32)]) for start in range(4)]
    rates = []
    for clients, path, bodies, size in ((4, "", alone, 1), (2, "/batch", many, 32)):
        make = lambda n, path=path, bodies=bodies: (traffic.decisions() + path, bodies[n % len(bodies)])  # noqa: E731
        begun = time.perf_counter()
        answers = traffic.for_seconds(traffic.Load([server.url], make, clients=clients, keys=keys), seconds)
        rates.append(round(size * sum(a.status == 200 for a in answers) / (time.perf_counter() - begun), 1))
    return rates[0], rates[1]


def _offline(folder: Path, manifest: Manifest) -> float:
    """Captures per second of `mfas score` with one process, on the same captures over and over."""
    times = -(-SCORED // len(manifest))
    names = [f"{number}-{name}" for number in range(times) for name in manifest.column("capture_id")]
    table = pa.concat_tables([manifest.table] * times)
    table = table.set_column(table.column_names.index("capture_id"), "capture_id", pa.array(names))
    path = manifest.root / "repeated.parquet"
    write_manifest(Manifest.from_table(table, manifest.root), path)
    command = [sys.executable, "-m", "mfas", "score", "--manifest", str(path), "--workers", "1", "--json"]
    done = subprocess.run([*command, "--out", str(folder / "scores.parquet")], check=True, capture_output=True)
    return float(round(json.loads(done.stdout)["captures_per_second"], 1))


def broken(answers: Sequence[traffic.Answer]) -> list[traffic.Answer]:
    """Answers that may not be: none at all, a 5xx other than 503, a 429 or 503 that does not say when to come again."""
    return [
        a for a in answers if a.status == 0 or (a.status >= 500 and a.status != 503)
        or (a.status in (429, 503) and not a.retry_after)
    ]  # fmt: skip


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["latency", "saturate"])
    parser.add_argument("seconds", type=float, nargs="?", default=30)
    parser.add_argument("rate", type=float, nargs="?", default=20)
    parser.add_argument("--faces", action="store_true")
    parser.add_argument("--captures", type=int, default=48)
    parser.add_argument("--database")
    given = parser.parse_args()
    with TemporaryDirectory() as name:
        folder, database = Path(name), given.database or f"sqlite:///{name}/service.db"
        if given.what == "latency":
            result = latency(folder, database, given.seconds, given.rate, given.captures, given.faces)
        else:
            result = saturate(folder, database, given.seconds, given.captures)
    print(json.dumps(result, indent=2))
    return 0 if result["kept_rules"] else 1


if __name__ == "__main__":
    sys.exit(main())
