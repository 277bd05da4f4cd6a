"""Captures per second of predict and adapt in one run, network only.

``python benchmarks/throughput.py MODEL_DIR MANIFEST`` prints JSON: predict at batch 32 and 10, an adapted stream at
batch 10, and its cost as a multiple of plain prediction on the same batches. Medians over five passes, taken in turn.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

from mfas.adaptation.registry import create
from mfas.data.dataset import CachedTensors
from mfas.data.manifest import read_manifest
from mfas.models.store import load_model


def main(model_dir: Path, manifest: Path, passes: int = 5) -> None:
    _, card = load_model(model_dir)
    data = CachedTensors(read_manifest(manifest).in_arrival_order(), card.preprocess)

    def batches(size: int) -> list[range]:
        return [range(i, min(i + size, len(data))) for i in range(0, len(data), size)]

    def predict(size: int) -> float:
        model, _ = load_model(model_dir)
        prepared = [data.batch(rows) for rows in batches(size)]
        start = perf_counter()
        for batch in prepared:
            model.predict(batch)
        return perf_counter() - start

    def adapt() -> tuple[float, int]:
        model, _ = load_model(model_dir)
        adapter = create("mfas_danet", model, card)
        prepared = [data.batch(rows) for rows in batches(10)]
        start = perf_counter()
        updates = sum(adapter.step(batch)[1].updated for batch in prepared)
        return perf_counter() - start, updates

    predict(32)
    rounds = [(predict(32), predict(10), *adapt()) for _ in range(passes)]
    count = len(data)
    print(
        json.dumps(
            {
                "captures": count,
                "predict_batch_32_per_second": count / median(r[0] for r in rounds),
                "predict_batch_10_per_second": count / median(r[1] for r in rounds),
                "adapt_batch_10_per_second": count / median(r[2] for r in rounds),
                "updates": rounds[0][3],
                "adapt_over_predict": median(r[2] / r[1] for r in rounds),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
