"""How long a manifest of a million captures takes to load and to filter, beside reading its bytes.

``python benchmarks/manifest_speed.py [ROWS]`` prints JSON: seconds, the best of five, on one thread.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mfas.core import Label
from mfas.data._columns import write_table
from mfas.data.manifest import SPLITS, Manifest, read_manifest
from mfas.errors import ManifestError


def main(rows: int) -> None:
    pa.set_cpu_count(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.parquet"
        manifest = Manifest.from_table(_imported(rows), path.parent, require_labels=True)
        write_table(manifest.table, path, "manifest", ManifestError)
        print(
            json.dumps(
                {
                    "rows": rows,
                    "megabytes": path.stat().st_size / 1e6,
                    "bytes_to_table": _best(lambda: pq.read_table(path, use_threads=False)),
                    "load": _best(lambda: read_manifest(path, require_labels=True)),
                    "filter_split": _best(lambda: manifest.filter(split="test")),
                    "filter_four": _best(
                        lambda: manifest.filter(
                            split="train", sites=["S"], labels=[Label.ATTACK], species=["print_flat", "replay_lcd"]
                        )
                    ),
                },
                indent=2,
            )
        )


def _imported(rows: int) -> pa.Table:
    """As an import writes it: 50 captures a presentation, 500 a person, four sets."""
    number = np.arange(rows)
    person = number // 500
    attack = (number // 50) % 4 != 0
    names = np.array(["print_flat", "replay_lcd", "mask_rigid", "print_cut"])
    return pa.table(
        {
            "capture_id": _names("c{:016x}", number * 2_654_435_761),
            "presentation_id": _names("p{:016x}", number // 50 * 40_503),
            "subject": _names("casia_surf-CLKJ_AS{:05d}", person),
            "site": np.array(["C", "P", "S", "W"])[person % 4],
            "split": np.array(SPLITS)[person % 3],
            "label": np.where(attack, Label.ATTACK.value, Label.BONA_FIDE.value),
            "species": np.where(attack, names[(number // 50) % 4], ""),
            **{m: _names("../sets/phase1/Training/part/{:08d}/" + m + ".jpg", number) for m in ("rgb", "depth", "ir")},
            "box": ["full"] * rows,
            "x_imported": ["casia_surf"] * rows,
            "x_native": _names("phase1/Training/part/{:08d}", number),
        }
    )


def _names(form: str, numbers: np.ndarray) -> list[str]:
    return [form.format(n) for n in numbers.tolist()]


def _best(work: Callable[[], object]) -> dict[str, float]:
    """Wall time, and processor time: the latter is what a busy machine does not change much."""
    wall, processor = [], []
    for _ in range(5):
        start, spent = perf_counter(), process_time()
        work()
        wall.append(perf_counter() - start)
        processor.append(process_time() - spent)
    return {"wall_s": min(wall), "cpu_s": min(processor)}


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
