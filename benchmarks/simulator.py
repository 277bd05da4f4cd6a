"""How fast the simulator renders, and what memory it takes.

``python benchmarks/simulator.py`` prints JSON: captures per second of processor time, written to disk by one process,
at 112 and 224 pixels for the four sites, and (on Linux) the peak memory of a process that renders 100 and 10,000 small
captures.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import process_time

from mfas.simulation import load_site, simulate

SITES = ("office", "kiosk", "phone", "gate")
COUNTS = {112: 300, 224: 90}


def rate(name: str, resolution: int, count: int) -> float:
    """Captures per second of processor time, kernels compiled and people not yet known."""
    site = load_site(name).model_copy(update={"resolution": resolution})
    with tempfile.TemporaryDirectory() as folder:
        simulate(site, count=12, seed=9, out=Path(folder) / "warm")
        start = process_time()
        simulate(site, count=count, seed=1, out=Path(folder) / "timed")
        return count / (process_time() - start)


def peak_mib(count: int) -> float:
    """Peak memory of a process of its own that renders ``count`` captures of the gate at 48 pixels, MiB."""
    found = subprocess.run([sys.executable, __file__, str(count)], check=True, capture_output=True, text=True)
    return float(found.stdout)


def main() -> None:
    """Measure and print."""
    speed = {size: {name: round(rate(name, size, count), 1) for name in SITES} for size, count in COUNTS.items()}
    memory = {count: peak_mib(count) for count in (100, 10_000)}
    print(json.dumps({"captures_per_cpu_second": speed, "peak_memory_mib": memory}, indent=2))


def render(count: int) -> None:
    """What `peak_mib` starts."""
    with tempfile.TemporaryDirectory() as folder:
        site = load_site("gate").model_copy(update={"resolution": 48})
        simulate(site, count=count, seed=1, out=Path(folder))
    # ru_maxrss would still show the parent, whose memory a forked child is charged with until it runs its own program
    status = Path("/proc/self/status").read_text(encoding="ascii").split("VmHWM:")[1]
    print(int(status.split()[0]) / 1024)


if __name__ == "__main__":
    render(int(sys.argv[1])) if len(sys.argv) > 1 else main()
