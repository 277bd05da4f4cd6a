"""A scoring run, SIGKILLed at ten random moments and started again each time, beside one that was left alone.

``python benchmarks/score_kill.py MANIFEST [WORKERS] [SEED] [KILLS]`` scores the manifest with the default weights, once
without disturbance, then again with a kill at a moment drawn evenly over that run's length; a run that ends before its
moment came is started from nothing, so that every kill hits a run at work. Prints JSON: where each kill fell, and
whether the bytes of the two tables are equal. Exit code 1 when they are not, or when anything was left over.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

SHARD = 5


def main(manifest: Path, workers: int, seed: int, kills: int) -> int:
    chance = random.Random(seed)
    with TemporaryDirectory() as folder:
        whole, broken = Path(folder) / "whole" / "scores.parquet", Path(folder) / "broken" / "scores.parquet"
        start = perf_counter()
        if run(manifest, whole, workers) != 0:
            return 1
        length = perf_counter() - start
        fell: list[dict[str, Any]] = []
        equal: list[bool] = []
        while len(fell) < kills:
            moment = chance.uniform(0, length)
            if run(manifest, broken, workers, moment) == 0:
                equal.append(broken.read_bytes() == whole.read_bytes())
                broken.unlink()
                continue
            fell.append({"seconds": round(moment, 2), "shards": len(list(broken.parent.glob("*.parts/[0-9]*")))})
        if run(manifest, broken, workers) != 0:
            return 1
        equal.append(broken.read_bytes() == whole.read_bytes())
        left = sorted(p.name for p in broken.parent.iterdir() if p.name not in (broken.name, "scores.config.json"))
    result = {"seconds_whole": round(length, 2), "workers": workers, "kills": fell, "equal": equal, "left_over": left}
    print(json.dumps(result, indent=2))
    return 0 if all(equal) and not left else 1


def run(manifest: Path, out: Path, workers: int, moment: float | None = None) -> int:
    """Exit code of a run, SIGKILLed after ``moment`` seconds unless it has ended by then."""
    command = [sys.executable, "-m", "mfas", "score", "--manifest", str(manifest), "--out", str(out)]
    command += ["--workers", str(workers), "--set", f"shard={SHARD}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        return process.wait(moment)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return -signal.SIGKILL


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[2:]]
    sys.exit(main(Path(sys.argv[1]), *(given + [2, 0, 10][len(given) :])))
