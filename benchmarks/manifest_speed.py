"""How long a manifest of a million captures takes to load and to filter, beside reading its bytes.

``python benchmarks/manifest_speed.py [ROWS]`` prints JSON: seconds, best of three, in one process on one thread.
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
                    "bytes_to_table_s": _best(lambda: pq.read_table(path, use_threads=False)),
                    "load_s": _best(lambda: read_manifest(path, require_labels=True)),
                    "filter_split_s": _best(lambda: manifest.filter(split="test")),
                    "filter_four_s": _best(
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


def _best(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(3):
        start = perf_counter()
        work()
        seconds.append(perf_counter() - start)
    return min(seconds)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
