"""Does an adapted stream's memory grow? One model, the same captures again and again as new presentations.

``python benchmarks/adapt_memory.py MODEL_DIR MANIFEST [CAPTURES]`` prints JSON: resident memory in MiB at ten points of
a stream of ``CAPTURES`` (default 100,000) in batches of 32, its slope over the second half in MiB per 10,000 captures,
the size of the adapted state in MiB, and the updates made.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from mfas.adaptation.registry import create
from mfas.core import CaptureIds
from mfas.data.dataset import CachedTensors
from mfas.data.manifest import read_manifest
from mfas.models.store import load_model

BATCH = 32
MIB = 2**20


def main(model_dir: Path, manifest: Path, captures: int = 100_000) -> None:
    model, card = load_model(model_dir)
    data = CachedTensors(read_manifest(manifest).in_arrival_order(), card.preprocess)
    adapter = create("mfas_danet", model, card)
    kept = [data.batch(range(i, min(i + BATCH, len(data)))) for i in range(0, min(len(data), 1024), BATCH)]
    seen, updates, number = 0, 0, 0
    points: list[tuple[int, float]] = []
    while seen < captures:
        batch = kept[number % len(kept)]
        names = tuple(f"{seen + row}" for row in range(len(batch)))
        ids = CaptureIds(names, names, names, names, batch.ids.timestamp)
        updates += adapter.step(replace(batch, ids=ids))[1].updated
        seen, number = seen + len(batch), number + 1
        if seen * 10 // captures > (seen - len(batch)) * 10 // captures:
            points.append((seen, resident()))
    late = np.array(points[len(points) // 2 :])
    state = adapter.state().tensors.values()
    print(
        json.dumps(
            {
                "captures": seen,
                "updates": updates,
                "resident_mib": [round(value, 1) for _, value in points],
                "slope_mib_per_10000": float(np.polyfit(late[:, 0], late[:, 1], 1)[0] * 10_000),
                "state_mib": sum(x.numel() * x.element_size() for x in state) / MIB,
            },
            indent=2,
        )
    )


def resident() -> float:
    """Of this process, in MiB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) * 1024 / MIB


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 100_000)
