"""Whether found attacks, added to training, make fresh searches find less.

``python benchmarks/search_training.py --out runs/search_training`` trains a small model on ``dev_a``, searches it with
people of the training split, and trains two more: with the attacks found, and with as many attacks of the same species
with random parameters. Each is then searched anew, with people of the test split and another seed, and scored on the
test people of ``dev_a``. All is repeated over training seeds; finished models and searches are kept.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any

import numpy as np

from mfas._files import write_json
from mfas.audit.search import Space
from mfas.benchmark.search_config import SearchConfig
from mfas.benchmark.search_run import RESULT_FILE, audit_search
from mfas.benchmark.training_run import TrainConfig, chunks, train
from mfas.card import CARD_FILE
from mfas.config import environment
from mfas.data.dataset import CachedTensors
from mfas.data.manifest import Manifest, read_manifest, write_manifest
from mfas.models.store import load_model
from mfas.simulation import choices, load_site, render_staged, simulate, write_capture
from mfas.training.validation import score_patterns

ARMS = ("plain", "random", "found")


def main() -> None:
    """Measure and print."""
    given = _arguments()
    start = perf_counter()
    _simulated(given)
    rows = [row for seed in range(given.seeds) for row in _seed(given, seed)]
    result = {
        "command": "python benchmarks/search_training.py",
        "environment": environment(),
        "means": {arm: _mean(rows, arm) for arm in ARMS},
        "rows": rows,
        "seconds": perf_counter() - start,
    }
    write_json(given.out / "results.json", result)
    print(json.dumps(result["means"], indent=2))
    print(f"{result['seconds']:.0f} s")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/search_training"))
    parser.add_argument("--count", type=int, default=960, help="captures of the site, one a presentation")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--size", type=int, default=64, help="pixels that the network sees")
    parser.add_argument("--budget", type=int, default=80, help="renders of a species that find what is trained on")
    parser.add_argument("--fresh", type=int, default=60, help="renders of a species in the fresh searches")
    parser.add_argument("--keep", type=int, default=20, help="found attacks of a species that are trained on")
    parser.add_argument("--species", default="mask_rigid,fake_head", help="attacks that are searched")
    parser.add_argument("--seeds", type=int, default=2)
    return parser.parse_args()


def _simulated(given: argparse.Namespace) -> None:
    out = given.out / "dev_a"
    if not (out / "simulation.json").exists():
        simulate(load_site("dev_a"), count=given.count, seed=0, out=out, captures_per_presentation=1)


def _seed(given: argparse.Namespace, seed: int) -> list[dict[str, Any]]:
    folder = given.out / f"seed{seed}"
    plain = _trained(given, folder / "plain", [], seed)
    found = _searched(given, plain, folder / "search", "train", given.budget, 1000 + seed, repeats=0)
    if found["manifest"] is None:
        raise SystemExit(f"nothing was found against {plain}: there is nothing to train on")
    extra = {"plain": [], "found": [folder / "search" / "manifest.parquet"]}
    extra["random"] = [_random(folder / "random_attacks", read_manifest(extra["found"][0]), 2000 + seed)]
    rows = []
    for arm in ARMS:
        model = _trained(given, folder / arm, extra[arm], seed)
        fresh = _searched(given, model, folder / f"{arm}_fresh", "test", given.fresh, 3000 + seed)
        rows.append({"seed": seed, "arm": arm, "added": sum(row["found"] for row in found["rows"])} | _told(fresh))
        rows[-1] |= _errors(given, model)
        print(json.dumps(rows[-1]), flush=True)
    return rows


def _trained(given: argparse.Namespace, out: Path, extra: list[Path], seed: int) -> Path:
    """The same number of steps whatever was added."""
    if not (out / CARD_FILE).exists():
        values = {
            "manifest": [given.out / "dev_a" / "manifest.parquet", *extra],
            "out": out,
            "preprocess": {"size": given.size},
            "architecture": {"backbone": "compact", "backbone_options": {"width": 16}},
            "loop": {"epochs": given.epochs},
            "epoch_captures": given.count,
            "seed": seed,
            "threads": 1,
        }
        train(TrainConfig.resolve(given=values))
    return out


def _searched(
    given: argparse.Namespace, model: Path, out: Path, split: str, budget: int, seed: int, *, repeats: int = 20
) -> dict[str, Any]:
    if not (out / RESULT_FILE).exists():
        values = {"model": model, "site": "dev_a", "out": out, "split": split, "budget": budget, "seed": seed}
        values |= {"keep": given.keep, "species": given.species, "repeats": repeats}
        return audit_search(SearchConfig.resolve(given=values))
    return dict(json.loads((out / RESULT_FILE).read_text()))


def _random(out: Path, like: Manifest, seed: int) -> Path:
    """As many attacks of each species as in ``like``, with parameters drawn evenly and people of the same split."""
    site, rng, rows = load_site("dev_a"), np.random.default_rng(seed), []
    for number, species in enumerate(like.column("species").astype(str)):
        found = choices(site, species)
        space = Space(tuple(c.name for c in found), tuple(c.low for c in found), tuple(c.high for c in found))
        values = space.values(rng.random(len(found)))
        plan, capture = render_staged(site, species, values, seed=seed, number=number % 2)
        name = plan.presentation_id.removeprefix(f"{site.name}-")
        rows.append(write_capture(site, name, plan, 0, capture, out))
    write_manifest(rows, out / "manifest.parquet")
    return out / "manifest.parquet"


def _told(fresh: dict[str, Any]) -> dict[str, Any]:
    rows = fresh["rows"]
    return {
        "random_rate": fmean(row["random"]["rate"] for row in rows),
        "search_rate": fmean(row["search"]["rate"] for row in rows),
        "again_rate": fmean(row["repeats"]["search"]["rate"] for row in rows),
        "species_broken": sum(row["search"]["accepted"] > 0 for row in rows),
    }


def _errors(given: argparse.Namespace, directory: Path) -> dict[str, float]:
    """BPCER and pooled APCER of the site's test people at the card's threshold."""
    model, card = load_model(directory)
    manifest = read_manifest(given.out / "dev_a" / "manifest.parquet").filter(split="test")
    data = CachedTensors(manifest, card.preprocess, workers=1)
    species = data.manifest.take(data.rows).column("species").astype(str)
    pattern = score_patterns(model, chunks(data), ("",))[""]
    accepted, attack = pattern.score >= card.threshold(), species[pattern.rows] != ""
    return {"bpcer": float((~accepted[~attack]).mean()), "apcer": float(accepted[attack].mean())}


def _mean(rows: list[dict[str, Any]], arm: str) -> dict[str, float]:
    own = [row for row in rows if row["arm"] == arm]
    return {key: round(fmean(row[key] for row in own), 4) for key in own[0] if key not in ("seed", "arm")}


if __name__ == "__main__":
    main()
