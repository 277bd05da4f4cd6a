"""The rate of the dataset beside decoding the same files with OpenCV alone, on as many threads.

``python benchmarks/dataset_speed.py [THREADS] [CAPTURES]`` prints JSON: captures per second over a manifest of
simulated captures of 640 x 480 pixels with face boxes (RGB as JPEG, depth as PNG of 16 bit, infrared as PNG of 8 bit),
the ratio of the two rates, and the rate over the crops that ``mfas data crop`` makes of them. All are timed in turn and
the medians over the rounds are told, by wall time and by processor time; a busy machine changes the latter least.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import cv2

from mfas.card import Preprocess
from mfas.core import Modality
from mfas.data.box import Box, parse_box
from mfas.data.cropping import crop_manifest
from mfas.data.dataset import batches
from mfas.data.manifest import Manifest, read_manifest
from mfas.simulation import load_site, simulate

SITES, PER_SITE, ROUNDS, BATCH = ("gate", "office"), 12, 7, 32
WIDTH, HEIGHT = 640, 480
Seconds = tuple[float, float]


def main(threads: int, captures: int) -> None:
    """Measure and print."""
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        manifest = _captures(Path(folder), captures)
        files = [manifest.resolve(row.path(m)) for row in manifest for m in row.modalities]
        crops = read_manifest(crop_manifest(manifest, Path(folder) / "crops", size=Preprocess().size).path)
        work = (
            lambda: _dataset(manifest, threads),
            lambda: _opencv(files, threads),
            lambda: _dataset(crops, threads),
        )
        for warm in work:
            warm()
        rounds = [tuple(_timed(part) for part in work) for _ in range(ROUNDS)]
        size = sum(file.stat().st_size for file in files) / captures
    result: dict[str, object] = {"captures": captures, "threads": threads, "kilobytes_per_capture": size / 1e3}
    for clock, name in enumerate(("wall", "cpu")):
        result[name] = {
            "dataset_per_second": captures / median(dataset[clock] for dataset, _, _ in rounds),
            "opencv_per_second": captures / median(opencv[clock] for _, opencv, _ in rounds),
            "ratio": median(opencv[clock] / dataset[clock] for dataset, opencv, _ in rounds),
            "crops_per_second": captures / median(cropped[clock] for _, _, cropped in rounds),
        }
    print(json.dumps(result, indent=2))


def _dataset(manifest: Manifest, threads: int) -> None:
    for _ in batches(manifest, Preprocess(), BATCH, workers=threads if threads > 1 else 0):
        pass


def _opencv(files: list[Path], threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda file: cv2.imread(str(file), cv2.IMREAD_UNCHANGED) is None, files):
            pass


def _captures(folder: Path, count: int) -> Manifest:
    """``count`` rows over a few captures; the wall at both sides is mirrored to the width of a camera."""
    rows: list[dict[str, object]] = []
    for name in SITES:
        site = load_site(name).model_copy(update={"resolution": HEIGHT})
        simulate(site, count=PER_SITE, seed=1, out=folder / name)
        for row in read_manifest(folder / name / "manifest.parquet"):
            box = parse_box(row.box)
            if len(row.modalities) < len(Modality) or not isinstance(box, Box):
                continue
            paths = {m.value: _widened(folder / name / row.path(m), m) for m in Modality}
            shifted = Box(box.x + (WIDTH - HEIGHT) // 2, box.y, box.w, box.h)
            rows.append({**paths, "box": str(shifted), "depth_scale_m": row.depth_scale_m})
    return Manifest.from_rows(({**rows[i % len(rows)], "capture_id": f"c{i}"} for i in range(count)), folder)


def _widened(path: Path, modality: Modality) -> Path:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None
    side = (WIDTH - HEIGHT) // 2
    image = cv2.copyMakeBorder(image, 0, 0, side, side, cv2.BORDER_REFLECT)
    wide = path.with_suffix(".wide.jpg" if modality is Modality.RGB else ".wide.png")
    assert cv2.imwrite(str(wide), image)
    return wide


def _timed(work: Callable[[], object]) -> Seconds:
    start, spent = perf_counter(), process_time()
    work()
    return perf_counter() - start, process_time() - spent


if __name__ == "__main__":
    main(*(int(text) for text in (sys.argv[1:] + ["1", "240"][len(sys.argv) - 1 :])))
