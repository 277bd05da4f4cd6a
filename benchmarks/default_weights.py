"""The default weights: simulate random sites, train on them, set thresholds on others, add heads, export.

``python benchmarks/default_weights.py --out runs/default_weights`` leaves the model directory ``weights/`` in
``--out``; ``--install`` also copies it to ``src/mfas/weights/default``. Training sites are ``random:0`` and on,
validation sites ``random:100000`` and on: no site, and so no person, sensor or light, is in both. Thresholds and the
choice of the epoch come from the validation sites. ``dev_a`` and ``dev_b`` are measured for choices between settings;
the four test sites are measured last, for the card, and decide nothing. Finished sites and a finished training are
kept: an interrupted run continues, and refuses to if it was begun with other settings.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa

from mfas._files import make_folder, read_json, write_json
from mfas.benchmark.family_heads import family_card, post_hoc_heads
from mfas.benchmark.source_means import store_source_mean
from mfas.benchmark.sources import read_sources
from mfas.benchmark.training_run import TrainConfig, load_split, train
from mfas.card import CARD_FILE, FAMILIES_FILE, ONNX_FILE, WEIGHTS_FILE, Card, Preprocess
from mfas.core import Batch
from mfas.data.augment import Augment, AugmentConfig
from mfas.data.dataset import CachedTensors
from mfas.data.manifest import Manifest, read_manifest, rebase, write_manifest
from mfas.export.onnx_file import export_onnx
from mfas.metrics import auc
from mfas.models.contract import FasModel
from mfas.models.families import FamilyHeads, save_families
from mfas.models.registry import create
from mfas.models.store import load_model
from mfas.simulation import SIMULATOR_VERSION, load_site, simulate
from mfas.training.families import HeadConfig
from mfas.training.loop import EpochRecord
from mfas.training.validation import score_patterns

INSTALLED = Path(__file__).resolve().parents[1] / "src" / "mfas" / "weights" / "default"
FIRST_VALIDATION_SEED = 100_000
CHOICES = ("dev_a", "dev_b")
CHECKS = ("office", "kiosk", "phone", "gate")
LARGEST_BYTES = 10_000_000
AUGMENT = {"rgb_cast": 0.15, "rgb_gamma": 0.35, "rgb_blur_px": 1.6, "rgb_coarse": 0.7, "rgb_blocks": 0.4,
           "rgb_occlusion": 0.2}  # fmt: skip
NOTICE = (
    "trained on simulated captures only: never on a real camera, so its score is a first impression, not a measured "
    "decision; measure it on captures of your own cameras, or train a model on them"
)


def main() -> None:
    """Run it."""
    given = _arguments()
    start = perf_counter()
    _same_settings(given)
    _check_size(given)
    learn = [f"random:{seed}" for seed in range(given.sites)]
    held_out = [f"random:{FIRST_VALIDATION_SEED + seed}" for seed in range(given.validation_sites)]
    if given.source_mean:
        _store_source_mean(given, learn)
        return
    for name in (*learn, *held_out):
        _simulated(name, given, given.validation_count if name in held_out else given.count, given.subjects)
    for name in (*CHOICES, *CHECKS):
        _simulated(name, given, given.check_count, given.check_subjects)
    print(f"simulated after {perf_counter() - start:.0f} s", flush=True)
    source = given.out / "train.parquet"
    _by_site(given, learn, held_out, source)
    trained = given.out / "trained"
    if not (trained / CARD_FILE).exists():
        train(_training(given, source, trained), _say)
    print(f"trained after {perf_counter() - start:.0f} s", flush=True)
    card = _finish(given, trained, given.out / "weights", learn, held_out)
    if given.install:
        _install(given.out / "weights")
    print(json.dumps(card.metrics, indent=2))
    print(f"done after {perf_counter() - start:.0f} s")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/default_weights"))
    parser.add_argument("--sites", type=int, default=40, help="random sites to train on")
    parser.add_argument("--count", type=int, default=200, help="captures of each")
    parser.add_argument("--subjects", type=int, default=24, help="people of each")
    parser.add_argument("--validation-sites", type=int, default=10, help="random sites for thresholds")
    parser.add_argument("--validation-count", type=int, default=150, help="captures of each")
    parser.add_argument("--check-count", type=int, default=240, help="captures of each built-in site")
    parser.add_argument("--check-subjects", type=int, default=60, help="people of each built-in site")
    parser.add_argument("--frames", type=int, default=1, help="captures of a presentation at random sites")
    parser.add_argument("--width", type=int, default=16, help="of the compact backbone; a multiple of 16")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="processes that simulate")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument("--set", action="append", default=[], help="further KEY=VALUE of `mfas train`")
    parser.add_argument(
        "--source-mean", type=int, default=0, metavar="N",
        help="only measure the origin of explanations, on N captures of each training site, for the installed weights",
    )  # fmt: skip
    parser.add_argument("--install", action="store_true", help="copy the weights into the package's source")
    return parser.parse_args()


def _store_source_mean(given: argparse.Namespace, learn: list[str]) -> None:
    """For weights that were made before this was measured: the first N captures they learnt from at each site."""
    for name in learn:
        _simulated(name, given, given.source_mean, given.subjects)
    source = given.out / "source_mean.parquet"
    write_manifest(read_sources([_folder(given, name) / "manifest.parquet" for name in learn]), source)
    card = store_source_mean(INSTALLED, source)
    assert card.source_mean is not None
    mean = card.source_mean.model_copy(update={"sources": card.sources})
    card.model_copy(update={"source_mean": mean}).write(INSTALLED)
    print(mean)


def _same_settings(given: argparse.Namespace) -> None:
    """An interrupted run may not go on with other settings: its sites would not belong together."""
    free = {"out", "workers", "threads", "install"}
    settings = {k: v for k, v in vars(given).items() if k not in free} | {"simulator": SIMULATOR_VERSION}
    make_folder(given.out)
    path = given.out / "settings.json"
    if path.exists() and read_json(path, "settings") != settings:
        raise SystemExit(f"{given.out} was begun with other settings ({path}): give another --out")
    write_json(path, settings)


def _check_size(given: argparse.Namespace) -> None:
    parameters = sum(p.numel() for p in create("mfas_danet", Preprocess(), _architecture(given)).parameters())
    # four bytes each, once in safetensors and once in model.onnx
    if 8 * parameters > LARGEST_BYTES:
        raise SystemExit(f"expected weights below {LARGEST_BYTES:,} bytes, {parameters:,} parameters make more")


def _architecture(given: argparse.Namespace) -> dict[str, Any]:
    return {"backbone": "compact", "backbone_options": {"width": given.width}}


def _folder(given: argparse.Namespace, name: str) -> Path:
    return given.out / "sites" / name.replace(":", "_")


def _simulated(name: str, given: argparse.Namespace, count: int, subjects: int) -> None:
    folder = _folder(given, name)
    if (folder / "simulation.json").exists():  # the last file that is written
        return
    site = load_site(name).model_copy(update={"subjects": subjects})
    frames = given.frames if name.startswith("random:") else None
    start = perf_counter()
    simulate(site, count=count, seed=given.seed, out=folder, workers=given.workers, captures_per_presentation=frames)
    print(f"{name}: {count / (perf_counter() - start):.0f} captures a second", flush=True)


def _by_site(given: argparse.Namespace, learn: list[str], held_out: list[str], path: Path) -> None:
    """One manifest in which the split is the site's: all people of a site learn, or all of them validate."""
    tables = []
    for split, names in (("train", learn), ("validation", held_out)):
        joined = read_sources([_folder(given, name) / "manifest.parquet" for name in names], require_labels=True)
        table = rebase(joined, given.out).table
        at = table.column_names.index("split")
        tables.append(table.set_column(at, "split", pa.array([split] * len(joined), pa.string())))
    both = Manifest.from_table(pa.concat_tables(tables).combine_chunks(), given.out, require_labels=True)
    write_manifest(both, path)


def _training(given: argparse.Namespace, source: Path, out: Path) -> TrainConfig:
    values = {
        "manifest": [source],
        "out": out,
        "model": "mfas_danet",
        "architecture": _architecture(given),
        "loop": {"epochs": given.epochs},
        "augment": AUGMENT,
        "seed": given.seed,
        "threads": given.threads,
        "licence": "Apache-2.0",
    }
    return TrainConfig.resolve(overrides=given.set, given=values)


def _say(record: EpochRecord) -> None:
    print(f"epoch {record.epoch + 1}: loss {record.loss:.4f}, validation {record.validation:.4f}", flush=True)


def _finish(given: argparse.Namespace, trained: Path, out: Path, learn: list[str], held_out: list[str]) -> Card:
    """Measure, export, and write the directory that is shipped."""
    model, card = load_model(trained)
    validation = read_manifest(given.out / "train.parquet").filter(split="validation")
    figures = {
        "validation": card.metrics["validation"] | {"errors": _measured(model, card, validation)},
        "for_choices": {name: _measured(model, card, _listed(given, name)) for name in CHOICES},
        "simulated_check": {name: _measured(model, card, _listed(given, name)) for name in CHECKS},
    }
    recipe = {
        "simulator": SIMULATOR_VERSION,
        "sites": {"train": [learn[0], learn[-1]], "validation": [held_out[0], held_out[-1]]},
        "captures_a_site": {"train": given.count, "validation": given.validation_count},
        "people_a_site": given.subjects,
    }
    sources = (f"{len(learn)} random simulated sites",)
    mean = card.source_mean
    card = card.model_copy(
        update={
            "sources": sources,
            "source_mean": mean.model_copy(update={"sources": sources}) if mean is not None else None,
            "training": {**card.training, **recipe},
            "metrics": figures,
            "notice": NOTICE,
        }
    )
    shutil.rmtree(out, ignore_errors=True)
    make_folder(out)
    shutil.copyfile(trained / WEIGHTS_FILE, out / WEIGHTS_FILE)
    heads, card = _with_heads(given, model, card, out)
    done = export_onnx(model, card, out, heads=heads)
    size = sum((out / name).stat().st_size for name in (WEIGHTS_FILE, FAMILIES_FILE, ONNX_FILE))
    print(f"model.onnx differs by {done.difference:.1g} at most; {size:,} bytes together")
    if size > LARGEST_BYTES:
        raise SystemExit(f"expected weights of {LARGEST_BYTES:,} bytes at most, got {size:,}")
    return done.card


def _with_heads(given: argparse.Namespace, model: FasModel, card: Card, out: Path) -> tuple[FamilyHeads, Card]:
    """Attack-family heads on the finished model, from the captures it was trained on."""
    manifest, config = read_manifest(given.out / "train.parquet"), HeadConfig()
    learnt_from, validation = (load_split(manifest, split, card.preprocess) for split in ("train", "validation"))
    augment = Augment(card.preprocess, given.seed, AugmentConfig.model_validate(AUGMENT))
    heads = post_hoc_heads(model, learnt_from, config, augment, given.seed)
    told = family_card(model, heads, "post_hoc", config, learnt_from, validation)
    return heads, save_families(heads, card, told, out)


def _listed(given: argparse.Namespace, name: str) -> Manifest:
    return read_manifest(_folder(given, name) / "manifest.parquet")


def _measured(model: FasModel, card: Card, manifest: Manifest) -> dict[str, dict[str, float]]:
    """HTER, BPCER, largest APCER and AUC by missing pattern, over presentations, at the card's thresholds."""
    data = CachedTensors(manifest, card.preprocess, workers=2)
    part = data.manifest.take(data.rows)
    names, species = part.column("presentation_id").astype(str), part.column("species").astype(str)
    out = {}
    for missing, pattern in score_patterns(model, _chunks(data)).items():
        _, first, group = np.unique(names[pattern.rows], return_index=True, return_inverse=True)
        score = np.bincount(group, pattern.score) / np.bincount(group)
        kind = species[pattern.rows][first]
        accepted = score >= card.threshold(missing)
        bpcer, apcer = float((~accepted[kind == ""]).mean()), float(accepted[kind != ""].mean())
        worst = max(float(accepted[kind == name].mean()) for name in np.unique(kind) if name)
        ranked = auc(score[kind == ""], {"attack": score[kind != ""]})
        figures = {"hter": (bpcer + apcer) / 2, "bpcer": bpcer, "apcer_max": worst, "auc": ranked}
        out[missing] = {key: round(value, 4) for key, value in figures.items()}
    return out


def _chunks(data: CachedTensors) -> Iterator[Batch]:
    for start in range(0, len(data), 64):
        yield data.batch(range(start, min(start + 64, len(data))))


def _install(weights: Path) -> None:
    shutil.rmtree(INSTALLED, ignore_errors=True)
    shutil.copytree(weights, INSTALLED)
    Card.read(INSTALLED)


if __name__ == "__main__":
    main()
