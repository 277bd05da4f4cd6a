"""Is the simulator a good instrument? Difficulty in-site and cross-site, and what each modality tells of each species.

``python benchmarks/instrument.py --out runs/instrument`` simulates the four sites, trains `late_fusion` on every three
of them, tests it on their own test subjects and on the fourth site, and prints two tables; ``instrument.json`` holds
the figures. Errors are HTER at the source-validation threshold, by presentation. An interrupted run continues.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfas._files import write_json
from mfas.benchmark.training_run import TrainConfig, train
from mfas.card import Card
from mfas.config import environment, parse
from mfas.core import MISSING_PATTERNS, MODALITIES, Batch
from mfas.data.dataset import CachedTensors
from mfas.data.manifest import read_manifest
from mfas.metrics import auc
from mfas.models.contract import FasModel
from mfas.models.store import load_model
from mfas.simulation import SIMULATOR_VERSION, load_site, simulate
from mfas.training.validation import score_patterns

SITES = ("office", "kiosk", "phone", "gate")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/instrument"))
    parser.add_argument("--count", type=int, default=4000, help="captures a site")
    parser.add_argument("--subjects", type=int, default=200, help="people a site")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--model", default="late_fusion")
    parser.add_argument("--targets", nargs="+", choices=SITES, default=SITES, help="sites held out, each in turn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    for name in SITES:
        folder = given.out / "sites" / name
        if not (folder / "manifest.parquet").exists():
            site = load_site(name).model_copy(update={"subjects": given.subjects})
            simulate(site, count=given.count, seed=given.seed, out=folder, workers=given.workers)
    facts: dict[str, Any] = {"in_site": {}, "cross_site": {}, "heads": {}}
    for target in given.targets:
        _measure(target, given, facts)
    write_json(given.out / "instrument.json", facts | {"environment": environment(), "simulator": SIMULATOR_VERSION})
    print(_difficulty(facts), _news(facts), sep="\n\n")


def _measure(target: str, given: argparse.Namespace, facts: dict[str, Any]) -> None:
    sources = [name for name in SITES if name != target]
    folder = given.out / f"{given.model}_without_{target}"
    if not (folder / "card.json").exists():
        manifests = [given.out / "sites" / name / "manifest.parquet" for name in sources]
        config = {"manifest": manifests, "out": folder, "model": given.model, "seed": given.seed}
        train(parse(TrainConfig, config | {"loop": {"epochs": given.epochs}}, "training"))
    model, card = load_model(folder)
    facts["in_site"][target] = {}
    for name in sources:
        scored = _scored(model, given.out / "sites" / name, "test")
        facts["in_site"][target][name] = _errors(scored, card, "")
        for modality in MODALITIES:
            for species, value in _head_auc(scored, modality.value).items():
                facts["heads"].setdefault(species, {}).setdefault(modality.value, []).append(value)
    scored = _scored(model, given.out / "sites" / target, None)
    facts["cross_site"][target] = {missing: _errors(scored, card, missing) for missing in MISSING_PATTERNS}


Scored = tuple[dict[str, NDArray[np.float64]], NDArray[np.str_]]
"""Mean score of each presentation by missing pattern (and by ``head.<modality>``), and its species ('' = bona fide)."""


def _scored(model: FasModel, folder: Path, split: str | None) -> Scored:
    manifest = read_manifest(folder / "manifest.parquet")
    data = CachedTensors(manifest.filter(split=split) if split else manifest, model.spec, workers=2)
    part = data.manifest.take(data.rows)
    _, first, group = np.unique(part.column("presentation_id").astype(str), return_index=True, return_inverse=True)
    count = np.bincount(group)
    found = score_patterns(model, _chunks(data))
    out = {missing: np.bincount(group, pattern.score) / count for missing, pattern in found.items()}
    for column, modality in enumerate(MODALITIES):
        head = found[MISSING_PATTERNS[0]].modality_scores[:, column]
        out[f"head.{modality.value}"] = np.bincount(group, head) / count
    return out, part.column("species").astype(str)[first]


def _chunks(data: CachedTensors) -> Iterator[Batch]:
    for start in range(0, len(data), 64):
        yield data.batch(range(start, min(start + 64, len(data))))


def _errors(scored: Scored, card: Card, missing: str) -> dict[str, Any]:
    values, species = scored[0][missing], scored[1]
    accepted = values >= card.threshold(missing)
    bpcer = float((~accepted[species == ""]).mean())
    by_species = {str(name): float(accepted[species == name].mean()) for name in np.unique(species) if name}
    apcer = float(accepted[species != ""].mean())
    return {"hter": (bpcer + apcer) / 2, "bpcer": bpcer, "apcer": apcer, "apcer_by_species": by_species}


def _head_auc(scored: Scored, modality: str) -> dict[str, float]:
    values, species = scored[0][f"head.{modality}"], scored[1]
    live = values[species == ""]
    return {str(name): auc(live, {str(name): values[species == name]}) for name in np.unique(species) if name}


def _difficulty(facts: dict[str, Any]) -> str:
    lines = ["| held-out site | in-site, mean of the three | " + " | ".join(m or "nothing" for m in MISSING_PATTERNS)]
    lines = [lines[0] + " |", "|" + " --- |" * (len(MISSING_PATTERNS) + 2)]
    for target, cells in facts["cross_site"].items():
        inside = 100 * np.mean([cell["hter"] for cell in facts["in_site"][target].values()])
        errors = [f"{100 * cells[m]['hter']:.1f}" for m in MISSING_PATTERNS]
        lines.append(f"| {target} | {inside:.1f} | " + " | ".join(errors) + " |")
    mean = [100 * np.mean([cells[m]["hter"] for cells in facts["cross_site"].values()]) for m in MISSING_PATTERNS]
    inside = 100 * np.mean([c["hter"] for cells in facts["in_site"].values() for c in cells.values()])
    lines.append(f"| **mean** | {inside:.1f} | " + " | ".join(f"{value:.1f}" for value in mean) + " |")
    return "HTER in per cent; columns: what is missing at the held-out site\n\n" + "\n".join(lines)


def _news(facts: dict[str, Any]) -> str:
    lines = ["| species | RGB | depth | IR |", "| --- | --- | --- | --- |"]
    for species, cells in sorted(facts["heads"].items()):
        means = [f"{np.mean(cells[m.value]):.2f}" for m in MODALITIES]
        lines.append(f"| {species} | " + " | ".join(means) + " |")
    return "AUC of each modality's own head, in-site test subjects, mean over models and sites\n\n" + "\n".join(lines)


if __name__ == "__main__":
    main()
