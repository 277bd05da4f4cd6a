"""The speed of what is deployed, as ratios taken in one run: the table of `docs/performance.md`.

``python benchmarks/performance.py [OUT] [PART ...]`` writes ``OUT/performance.json`` and ``OUT/performance.md``
(default ``runs/performance``) with the machine and the versions. Parts: ``network``, ``files``, ``parity``, ``adapt``,
``answer``, ``memory``, ``workers``; all of them unless some are named, and parts of an earlier run stay in the table.
``answer`` takes the Python of a small installation from ``MFAS_SMALL_PYTHON``, or this one. Everything is run with one
thread unless it says otherwise, on an idle machine. About 15 minutes on two cores.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any

import cv2
import numpy as np
import onnxruntime
import torch
from dataset_speed import _captures
from torch import nn

from mfas._files import make_folder, write_json, write_text
from mfas.adaptation.registry import create
from mfas.benchmark.scoring_run import ScoreConfig, score
from mfas.config import environment
from mfas.core import MISSING_PATTERNS, MODALITIES, Batch, parse_modalities
from mfas.data.capture import NoFace, load_capture
from mfas.data.dataset import CachedTensors
from mfas.data.manifest import Manifest, read_manifest, write_manifest
from mfas.data.preprocess import preprocess
from mfas.export.int8 import export_int8
from mfas.export.onnx_file import export_onnx
from mfas.export.predictor import OnnxPredictor, stack
from mfas.models.store import load_default
from mfas.simulation import load_site, simulate
from mfas.weights import default_directory

ROUNDS, BATCH, SHARD = 7, 32, 1000
SITE = "dev_a"
"""A development site: its captures are looked at for speed and parity only."""
Part = dict[str, Any]


def network(folder: Path) -> Part:
    """Captures per second through onnxruntime, batch 32, beside two reference networks of the field's usual size."""
    del folder
    session = _session(default_directory() / "model.onnx")
    rng = np.random.default_rng(0)
    feed: dict[str, Any] = {
        m.value: rng.normal(size=(BATCH, c, 112, 112)).astype(np.float32)
        for m, c in zip(MODALITIES, (3, 2, 1), strict=True)
    }
    feed["present"] = np.ones((BATCH, 3), np.bool_)
    with tempfile.TemporaryDirectory() as name:
        resnet, resnet_parameters = _reference(_resnets(), 112, Path(name) / "resnet.onnx", 8)
        vit, vit_parameters = _reference(_shared_vit(), 224, Path(name) / "vit.onnx", 2)
        ours, theirs, largest = [], [], []
        for _ in range(ROUNDS):
            ours.append(_seconds(lambda: session.run(None, feed)) / BATCH)
            theirs.append(_seconds(resnet) / 8)
            largest.append(_seconds(vit) / 2)
    return {
        "captures_per_second": 1 / median(ours),
        "resnet18_x3_parameters": resnet_parameters,
        "over_resnet18_x3": median(b / a for a, b in zip(ours, theirs, strict=True)),
        "vit_b16_parameters": vit_parameters,
        "over_vit_b16": median(b / a for a, b in zip(ours, largest, strict=True)),
    }


def files(folder: Path) -> Part:
    """``mfas score`` from 640 x 480 files with boxes, one worker, beside OpenCV decoding the same files."""
    manifest = _wide(folder)
    paths = [manifest.resolve(row.path(m)) for row in manifest for m in row.modalities]
    cv2.setNumThreads(1)
    found: list[Part] = []
    for _ in range(ROUNDS):
        alone = _seconds(lambda: [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in paths])
        for decoders in (0, 1):
            result = _scored(folder, workers=1, decoders=decoders)
            stages = result["stages"]
            took = sum(stages.values())
            ratio = alone / (result["seconds"] - stages["manifest"])
            found.append({"decoders": decoders, "ratio": ratio, "shares": {k: v / took for k, v in stages.items()}})
    one = [row for row in found if row["decoders"] == 0]
    return {
        "of_opencv_alone_one_thread": median(row["ratio"] for row in one),
        "of_opencv_alone_decoding_ahead": median(row["ratio"] for row in found if row["decoders"] == 1),
        "shares": {k: median(row["shares"][k] for row in one) for k in one[0]["shares"]},
    }


def parity(folder: Path) -> Part:
    """ONNX against torch, and eight bits against ONNX, over 200 captures under each missing pattern."""
    model, card = load_default()
    site = folder / "parity"
    simulate(load_site(SITE), count=400, seed=9, out=site)
    rows = read_manifest(site / "manifest.parquet")
    loaded = [load_capture(rows.row(i), rows.root) for i in range(len(rows))]
    planes = [preprocess(c, card.preprocess) for c in loaded if not isinstance(c, NoFace)]
    export_onnx(model, card, folder / "export")
    int8 = export_int8(planes, folder / "export", "of performance.py").int8
    assert int8 is not None
    predictor = OnnxPredictor(folder / "export", threads=1)
    data = CachedTensors(rows.take(np.arange(200)), card.preprocess)
    worst, flips = 0.0, 0
    for missing in MISSING_PATTERNS:
        for start in range(0, len(data), BATCH):
            batch = _without(data.batch(range(start, min(start + BATCH, len(data)))), missing)
            ours = model.predict(batch).score.numpy()
            theirs = predictor.predict({m: x.numpy() for m, x in batch.images.items()}, batch.present.numpy()).score
            worst = max(worst, float(np.abs(ours - theirs).max()))
            flips += int(((ours >= card.threshold(missing)) != (theirs >= card.threshold(missing))).sum())
    sizes = {name: (folder / "export" / name).stat().st_size for name in ("model.onnx", "model.int8.onnx")}
    feeds = stack(planes[:BATCH])
    small = OnnxPredictor(folder / "export", threads=1, precision="int8")
    speeds = [
        _seconds(lambda: predictor.predict(*feeds)) / _seconds(lambda: small.predict(*feeds)) for _ in range(ROUNDS)
    ]
    return {
        "captures": len(data),
        "largest_difference": worst,
        "flips": flips,
        "int8_flips": float(np.mean(list(int8.flips.values()))),
        "int8_flips_by_missing": int8.flips,
        "int8_largest_difference": int8.largest_difference,
        "int8_speed_up": median(speeds),
        "bytes": sizes,
    }


def adapt(folder: Path) -> Part:
    """An adapted stream over plain prediction with torch, batches of ten."""
    simulate(load_site(SITE), count=400, seed=10, out=folder / "adapt")
    _, card = load_default()
    data = CachedTensors(read_manifest(folder / "adapt" / "manifest.parquet").in_arrival_order(), card.preprocess)
    batches = [data.batch(range(i, min(i + 10, len(data)))) for i in range(0, len(data), 10)]
    ratios, updates = [], 0
    for _ in range(ROUNDS):
        model, _ = load_default()
        plain = _seconds(lambda model=model: [model.predict(batch) for batch in batches])
        model, _ = load_default()
        adapter = create("mfas_danet", model, card)
        reports: list[bool] = []
        learning = _seconds(lambda a=adapter, r=reports: r.extend(a.step(batch)[1].updated for batch in batches))
        ratios.append(learning / plain)
        updates = sum(reports)
    return {"adapt_over_predict": median(ratios), "updates": updates, "captures": len(data)}


def answer(folder: Path) -> Part:
    """From nothing to an answer about one capture with a box, and the next answers of a warm process."""
    manifest = _wide(folder)
    row = manifest.row(0)
    images = [x for m in MODALITIES for x in (f"--{m}", str(manifest.resolve(row.path(m))))]
    python = os.environ.get("MFAS_SMALL_PYTHON", sys.executable)
    command = [python, "-m", "mfas", "predict", *images, "--box", row.box]
    command += ["--depth-scale-m", str(row.depth_scale_m), "--json"]
    cold = [_seconds(lambda: subprocess.run(command, check=True, capture_output=True)) for _ in range(ROUNDS)]
    predictor = OnnxPredictor(default_directory(), threads=1)

    def once() -> None:
        capture = load_capture(row, manifest.root)
        assert not isinstance(capture, NoFace)
        predictor.predict(*stack([preprocess(capture, predictor.card.preprocess)]))

    once()
    warm = [_seconds(once) for _ in range(20 * ROUNDS)]
    found = manifest.row(1)
    bare = Manifest.from_rows([{m.value: str(manifest.resolve(found.path(m))) for m in MODALITIES}], Path("/"))
    search = [_seconds(lambda: load_capture(bare.row(0), bare.root)) for _ in range(ROUNDS)]
    return {
        "small_installation": python != sys.executable,
        "cold_seconds": median(cold),
        "warm_milliseconds": 1000 * median(warm),
        "warm_with_face_detection_milliseconds": 1000 * median(search),
    }


def memory(folder: Path) -> Part:
    """Resident memory of ``mfas score`` over 100,000 captures, a process of its own; slope over the second half."""
    out = folder / "memory"
    simulate(load_site(SITE).model_copy(update={"resolution": 64}), count=100, seed=11, out=out)
    rows = list(read_manifest(out / "manifest.parquet").table.to_pylist())
    long = ({**rows[i % len(rows)], "capture_id": f"c{i:06d}"} for i in range(100_000))
    write_manifest(Manifest.from_rows(long, out), out / "long.parquet")
    command = [sys.executable, "-m", "mfas", "score", "--manifest", str(out / "long.parquet"), "--workers", "1"]
    command += ["--out", str(out / "s.parquet"), "--set", f"shard={SHARD}"]
    points: list[tuple[int, float]] = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            finished = len(list((out / "s.parquet.parts").glob("[0-9]*.parquet")))
            if finished and (not points or finished * SHARD > points[-1][0]):
                points.append((finished * SHARD, _resident(process.pid)))
            sleep(0.2)
    if process.returncode:
        raise RuntimeError(f"mfas score ended with {process.returncode}")
    late = np.array(points[len(points) // 2 :])
    slope = float(np.polyfit(late[:, 0], late[:, 1], 1)[0] * 10_000)
    return {"captures": 100_000, "slope_mib_per_10000": slope, "resident_mib": points[-1][1]}


def workers(folder: Path) -> Part:
    """``mfas score`` with two workers over one, one thread each, start included, on captures of 640 x 480 pixels.

    Two processes, and two workers of Ray; as commands, since a worker of this file would import all that it does.
    """
    manifest = _wide(folder, 400)
    rows = list(manifest.table.to_pylist())
    many = [{**row, "capture_id": f"{turn}-{row['capture_id']}"} for turn in range(6) for row in rows]
    write_manifest(Manifest.from_rows(many, folder), folder / "many.parquet")
    command = [sys.executable, "-m", "mfas", "score", "--manifest", folder / "many.parquet", "--json"]
    command += ["--out", folder / "scores.parquet", "--set", "decoders=0", "--set", "shard=100"]

    def rate(*options: str) -> float:
        (folder / "scores.parquet").unlink(missing_ok=True)
        done = subprocess.run([*command, *options], check=True, capture_output=True)
        return float(json.loads(done.stdout)["captures_per_second"])

    found: list[Part] = []
    for _ in range(3):
        one, two = rate("--workers", "1"), rate("--workers", "2")
        found.append({"processes": two / one, "ray": rate("--workers", "2", "--ray", "local") / one})
    return {
        "speed_up": median(row["processes"] for row in found),
        "speed_up_ray": median(row["ray"] for row in found),
        "captures": len(many),
    }


PARTS: dict[str, Callable[[Path], Part]] = {
    f.__name__: f for f in (network, files, parity, adapt, answer, memory, workers)
}
TARGETS: tuple[tuple[str, str, str, str], ...] = (
    ("network", "over_resnet18_x3", "network, batch 32, over three ResNet-18 of 20 M parameters at 112", "at least 5"),
    ("network", "over_vit_b16", "network, batch 32, over a shared ViT-B/16 at 224", "at least 100"),
    ("files", "of_opencv_alone_one_thread", "files to scores over OpenCV decoding alone, one thread", "at least 0.8"),
    ("parity", "largest_difference", "ONNX against torch, largest difference of a score", "at most 1e-4"),
    ("parity", "flips", "ONNX against torch, decisions that flip", "0"),
    ("parity", "int8_flips", "int8, share of decisions that flip", "at most 0.005"),
    ("adapt", "adapt_over_predict", "adapted stream over plain prediction, torch", "at most 1.5"),
    ("answer", "cold_seconds", "one capture, cold process to answer, seconds", "under 1.5"),
    ("answer", "warm_milliseconds", "one capture, warm, milliseconds", "under 15"),
    ("memory", "slope_mib_per_10000", "memory over 100,000 captures, MiB per 10,000", "below 1"),
    ("workers", "speed_up", "two processes over one", "at least 1.7"),
    ("workers", "speed_up_ray", "two workers of Ray over one process", "at least 1.7"),
)


def main(out: Path, names: list[str]) -> None:
    """Measure the named parts and write the table of all that are known."""
    torch.set_num_threads(1)
    make_folder(out)
    kept = out / "performance.json"
    found: dict[str, Any] = json.loads(kept.read_text()) if kept.is_file() else {}
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            found[name] = PARTS[name](Path(folder))
        found["machine"] = {"processor": _processor(), "cores": os.cpu_count(), "onnxruntime": onnxruntime.__version__}
        found["environment"] = environment()
        write_json(kept, found)
        print(json.dumps({name: found[name]}, indent=2), flush=True)
    lines = ["| figure | target | measured |", "| --- | --- | ---: |"]
    lines += [f"| {text} | {goal} | {found[p][key]:.3g} |" for p, key, text, goal in TARGETS if p in found]
    write_text(out / "performance.md", "\n".join(lines) + "\n")


def _without(batch: Batch, missing: str) -> Batch:
    gone = torch.tensor([m in parse_modalities(missing) for m in MODALITIES])
    return Batch(batch.images, batch.present & ~gone, batch.ids)


def _wide(folder: Path, count: int = 240) -> Manifest:
    manifest = _captures(folder, count)
    write_manifest(manifest, folder / "manifest.parquet")
    return read_manifest(folder / "manifest.parquet")


def _scored(folder: Path, **options: Any) -> Part:
    return score(ScoreConfig(manifest=folder / "manifest.parquet", out=folder / "scores.parquet", **options))


class _Thrice(nn.Module):
    """Three networks over three images, or one over all of them; features joined."""

    def __init__(self, networks: list[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, rgb: torch.Tensor, depth: torch.Tensor, ir: torch.Tensor) -> torch.Tensor:
        parts = [
            self.networks[min(i, len(self.networks) - 1)](x).pooler_output.flatten(1)
            for i, x in enumerate((rgb, depth, ir))
        ]
        return torch.cat(parts, dim=1)


def _resnets() -> nn.Module:
    """Three ResNet-18, narrowed so that they hold 20 million parameters together (the usual ones hold 33)."""
    from transformers import ResNetConfig, ResNetModel

    widths = [50, 100, 200, 396]
    config = ResNetConfig(layer_type="basic", depths=[2, 2, 2, 2], hidden_sizes=widths, embedding_size=50)
    return _Thrice([ResNetModel(config) for _ in MODALITIES])


def _shared_vit() -> nn.Module:
    from transformers import ViTConfig, ViTModel

    return _Thrice([ViTModel(ViTConfig())])


def _reference(model: nn.Module, side: int, path: Path, count: int) -> tuple[Callable[[], object], int]:
    images = tuple(torch.randn(count, 3, side, side) for _ in MODALITIES)
    with torch.no_grad():
        torch.onnx.export(model.eval(), images, path, dynamo=True, verbose=False)
    session = _session(path)
    feed = {i.name: x.numpy() for i, x in zip(session.get_inputs(), images, strict=True)}
    session.run(None, feed)
    return lambda: session.run(None, feed), sum(p.numel() for p in model.parameters())


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _seconds(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def _resident(process: int) -> float:
    """Of a process, in MiB (Linux); 0 when it has just ended."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, IndexError):
        return 0.0


def _processor() -> str:
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    named = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return named[0] if named else platform.processor()


if __name__ == "__main__":
    given = sys.argv[1:]
    unknown = [name for name in given[1:] if name not in PARTS]
    if unknown:
        raise SystemExit(f"expected parts out of {', '.join(PARTS)}, got '{unknown[0]}'")
    main(Path(given[0]) if given else Path("runs/performance"), given[1:] or list(PARTS))
