"""Attack-family heads trained in four ways, held against each other: what they cost the model, and what they know.

``python benchmarks/family_heads.py --out runs/family_heads`` simulates random sites (the first captures of those that
the default weights learn from), trains for each seed one `mfas_danet` alone and one for each way of learning together,
adds heads post hoc to the first, and writes ``results.json`` and the tables of ``docs/experiments/family_heads.md``.
Threshold and epoch come from validation sites; ``dev_a`` and ``dev_b`` are for the choice. No test site is looked at. A
second table leaves each family out of the heads' training and asks whether ``unknown`` finds it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from random_sites import CHOICES, errors, measured_on, prepared

from mfas._files import write_json
from mfas.benchmark.family_heads import family_scores, measure_families, species_of
from mfas.benchmark.training_run import TrainConfig, chunks, train
from mfas.card import Card
from mfas.config import environment
from mfas.core import FAMILIES, Family
from mfas.data.augment import Augment
from mfas.data.dataset import CachedTensors
from mfas.data.manifest import read_manifest
from mfas.data.species import FAMILY_OF, family_targets
from mfas.models.contract import FasModel
from mfas.models.families import FamilyHeads, load_families
from mfas.models.store import load_model
from mfas.simulation import SIMULATOR_VERSION
from mfas.training.families import collect_features, fit_heads
from mfas.training.validation import score_patterns

WAYS = ("post_hoc", "naive", "random_head", "projection")


def main() -> None:
    """Run it; what is finished in ``--out`` is not repeated."""
    given = _arguments()
    torch.set_num_threads(1)
    start = perf_counter()
    source = prepared(given.out, given.sites, given.validation_sites, given.count, given.check, given.workers)
    print(f"simulated after {perf_counter() - start:.0f} s", flush=True)
    runs, found = [], []
    for seed in given.seeds:
        for way in WAYS:
            runs.append(_one(way, seed, source, given))
            print(json.dumps(runs[-1]), flush=True)
        found += _left_out(seed, source, given)
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(given).items()}
    facts = {"settings": settings, "simulator": SIMULATOR_VERSION, "seconds": perf_counter() - start}
    write_json(given.out / "results.json", {"runs": runs, "left_out": found, **facts, "environment": environment()})
    print("\n".join([*_table(runs), "", *_left_out_table(found)]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/family_heads"))
    parser.add_argument("--sites", type=int, default=24, help="random sites to train on")
    parser.add_argument("--validation-sites", type=int, default=6)
    parser.add_argument("--count", type=int, default=100, help="captures of each random site")
    parser.add_argument("--check", type=int, default=480, help="captures of dev_a and of dev_b")
    parser.add_argument("--size", type=int, default=64, help="pixels of a crop")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--workers", type=int, default=1, help="processes that simulate")
    return parser.parse_args()


def _one(way: str, seed: int, source: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Train in one way, or read what was trained, and measure it."""
    folder = given.out / f"{way}-{seed}"
    if not (folder / "config.json").exists():
        values = {
            "manifest": [source],
            "out": folder,
            "architecture": {"backbone": "compact", "backbone_options": {"width": 16}},
            "preprocess": {"size": given.size},
            "loop": {"epochs": given.epochs},
            "batch_size": 16,
            "families": {"way": way, "fewest": 8},
            "seed": seed,
            "threads": 1,
        }
        start = perf_counter()
        train(TrainConfig.resolve(given=values))
        write_json(folder / "seconds.json", perf_counter() - start)
    model, card = load_model(folder)
    heads = load_families(model, card, folder)
    assert heads is not None
    row: dict[str, Any] = {"way": way, "seed": seed, "seconds": json.loads((folder / "seconds.json").read_text())}
    for name, manifest in measured_on(source, given.out).items():
        data = CachedTensors(manifest, card.preprocess, workers=2)
        row[name] = errors(model, card, data) | _families(model, heads, data)
    return row


def _families(model: FasModel, heads: FamilyHeads, data: CachedTensors) -> dict[str, float]:
    found = measure_families(model, heads, data)
    return {"accuracy": 100 * found["accuracy"], "family_auc": 100 * float(np.mean(list(found["auc"].values())))}


def _left_out(seed: int, source: Path, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Heads that never saw one family: whether ``unknown`` finds it, and whether it calls known attacks unknown."""
    config = TrainConfig.resolve(
        given={"manifest": [source], "out": given.out, "families": {"way": "post_hoc", "fewest": 8}}
    )
    model, card = load_model(given.out / f"post_hoc-{seed}")
    data = CachedTensors(read_manifest(source).filter(split="train"), card.preprocess, workers=2)
    augment, kind = Augment(card.preprocess, seed), np.array(species_of(data))
    rows = [part for _ in range(config.families.passes) for part in torch.arange(len(data)).split(64)]
    named = torch.from_numpy(np.array([_number(name) for name in kind])[:, None])
    features, number = collect_features(model, ((augment(data.batch(r)), named[r]) for r in rows), seed)
    found = []
    for family in FAMILIES:
        rest = tuple(name for name in FAMILIES if name is not family)
        kept = number[:, 0] != FAMILIES.index(family)
        species = ["" if n < 0 else _some_of(FAMILIES[n]) for n in number[kept, 0].tolist()]
        wanted = torch.from_numpy(family_targets(species, rest))
        heads = fit_heads(model, rest, features[kept], wanted, config.families, seed)
        for name, manifest in measured_on(source, given.out).items():
            shown = CachedTensors(manifest, card.preprocess, workers=2)
            found.append(
                {"seed": seed, "family": family.value, "on": name, **_unknown(model, card, heads, shown, family)}
            )
    return found


def _number(species: str) -> int:
    return FAMILIES.index(FAMILY_OF[species]) if species else -1


def _some_of(family: Family) -> str:
    return next(name for name, own in FAMILY_OF.items() if own is family)


def _unknown(
    model: FasModel, card: Card, heads: FamilyHeads, data: CachedTensors, family: Family
) -> dict[str, float | int]:
    """Over rejected attacks: how often the family that was left out, and any other, is called unknown."""
    known = family_scores(model, heads, data).max(axis=1)
    score = score_patterns(model, chunks(data), ("",))[""].score
    unknown = (1 - score) * (1 - known)
    kinds = np.array([FAMILY_OF[name].value if name else "" for name in species_of(data)])
    rejected, own = score < card.threshold(""), kinds == family.value
    others = (kinds != "") & ~own & rejected
    called = unknown > known
    return {
        "rejected": int((own & rejected).sum()),
        "called": int((called & own & rejected).sum()),
        "others": int(others.sum()),
        "others_called": int((called & others).sum()),
    }


def _table(runs: list[dict[str, Any]]) -> list[str]:
    """One row per way, means over seeds; HTER, AUC and accuracy in per cent."""
    keys = ("hter", "auc", "hter_mean", "auc_mean", "accuracy", "family_auc")
    lines = ["| way | on | " + " | ".join(keys) + " |", "| --- | --- |" + " ---: |" * len(keys)]
    for name in ("validation", *CHOICES):
        for way in WAYS:
            rows = [run[name] for run in runs if run["way"] == way]
            cells = (f"{np.mean([row[key] for row in rows]):.1f}" for key in keys)
            lines.append(f"| {way} | {name} | " + " | ".join(cells) + " |")
    return lines


def _left_out_table(found: list[dict[str, Any]]) -> list[str]:
    """One row per family, sums over seeds and sites."""
    lines = [
        "| left out | rejected | called unknown | other rejected attacks | called unknown |",
        "| --- |" + " ---: |" * 4,
    ]
    for family in FAMILIES:
        rows = [row for row in found if row["family"] == family.value]
        n, called, others, wrong = (sum(r[k] for r in rows) for k in ("rejected", "called", "others", "others_called"))
        lines.append(f"| {family.value} | {n} | {_share(called, n)} | {others} | {_share(wrong, others)} |")
    return lines


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"


if __name__ == "__main__":
    main()
