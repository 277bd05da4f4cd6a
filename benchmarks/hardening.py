"""Training against what the attack audit found: noise within its budgets, and a bright patch in infrared.

``python benchmarks/hardening.py --out runs/hardening`` simulates random sites, trains the default weights on there:
once plainly, once with patches over infrared, once with half of the captures perturbed, once with half of the attacks
alone; measures them and the weights as shipped on validation, ``dev_a`` and ``dev_b`` as they are, and under the
audit's search (ten steps, two starts: longer than what was trained against) and the search for one patch. No test site
is looked at. Finished trainings and rows are kept.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from default_weights import AUGMENT
from random_sites import errors, measured_on, prepared

from mfas._files import read_json, write_json
from mfas.audit.kinds import PerturbSettings, perturb
from mfas.audit.patch import PatchSettings, search_patch
from mfas.audit.strength import measure_strength
from mfas.audit.victim import Victim, decide
from mfas.benchmark.audit_captures import AuditCaptures, draw, rows_of
from mfas.benchmark.training_run import TrainConfig, train
from mfas.card import CARD_FILE
from mfas.config import environment
from mfas.core import Label, Modality
from mfas.data.dataset import CachedTensors
from mfas.data.manifest import Manifest
from mfas.models.store import load_model
from mfas.simulation import SIMULATOR_VERSION
from mfas.weights import default_directory

SHIPPED = "as shipped"
ARMS: dict[str, dict[str, Any]] = {
    SHIPPED: {},
    "plain": {"augment": AUGMENT},
    "patches": {"augment": {**AUGMENT, "ir_occlusion": 0.3}},
    "noise": {"augment": AUGMENT, "noise": {"share": 0.5, "of": "both"}},
    "noise, attacks": {"augment": AUGMENT, "noise": {"share": 0.5}},
}
KINDS = ("rgb", "depth", "ir", "all")


def main() -> None:
    """Run it; what is finished in ``--out`` is not repeated."""
    given = _arguments()
    torch.set_num_threads(1)
    start = perf_counter()
    source = prepared(given.out, given.sites, given.validation_sites, given.count, given.check, given.workers)
    print(f"simulated after {perf_counter() - start:.0f} s", flush=True)
    rows = []
    for seed in given.seeds:
        for arm in given.arms:
            path = given.out / "rows" / f"{_slug(arm)}-{seed}.json"
            if not path.exists():
                write_json(path, _one(arm, seed, source, given))
            rows.append(read_json(path, "a finished row"))
            print(json.dumps(rows[-1]), flush=True)
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(given).items()}
    facts = {"settings": settings, "simulator": SIMULATOR_VERSION, "environment": environment()}
    write_json(given.out / "results.json", {"rows": rows, **facts})
    print("\n".join(_table(rows, given.arms)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/hardening"))
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--sites", type=int, default=24, help="random sites to train on")
    parser.add_argument("--validation-sites", type=int, default=6)
    parser.add_argument("--count", type=int, default=100, help="captures of each random site")
    parser.add_argument("--check", type=int, default=480, help="captures of dev_a and of dev_b")
    parser.add_argument("--attacked", type=int, default=64, help="attack captures of each that are perturbed")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--workers", type=int, default=1, help="processes that simulate")
    return parser.parse_args()


def _one(arm: str, seed: int, source: Path, given: argparse.Namespace) -> dict[str, Any]:
    folder = default_directory() if arm == SHIPPED else given.out / f"{_slug(arm)}-{seed}"
    start = perf_counter()
    if not (folder / CARD_FILE).exists():
        values = {
            "manifest": [source],
            "out": folder,
            "start": "default",
            "loop": {"epochs": given.epochs, "learning_rate": given.learning_rate},
            "seed": seed,
            "threads": 1,
            **ARMS[arm],
        }
        train(TrainConfig.resolve(given=values))
    seconds = perf_counter() - start
    victim = Victim(arm, *load_model(folder))
    row: dict[str, Any] = {"arm": arm, "seed": seed, "seconds": round(seconds, 1)}
    for name, manifest in measured_on(source, given.out).items():
        row[name] = errors(victim.model, victim.card, CachedTensors(manifest, victim.card.preprocess, workers=1))
        row[name] |= _attacked(victim, manifest, given.attacked)
    return row


def _attacked(victim: Victim, manifest: Manifest, count: int) -> dict[str, Any]:
    """Shares in per cent of attack captures that are accepted; of ``all``, also that the gate would teach as living."""
    chosen = draw(manifest, rows_of(manifest, Label.ATTACK), count, 0)
    captures = AuditCaptures(manifest, chosen, victim.card.preprocess)
    batches = captures.batches(captures.known(chosen), 32)
    clean = [decide(victim, batch, "") for batch in batches]
    out = {"clean": _share([one[0] for one in clean])}
    for kind in KINDS:
        found = [perturb(victim, batch, kind, PerturbSettings(), seed=i) for i, batch in enumerate(batches)]
        judged = [decide(victim, one.batch, "") for one in found]
        out[kind] = _share([one[0] for one in judged])
        if kind == "all":
            out["taught"] = _share([one[1] for one in judged])
    patch = search_patch(victim, batches[0], Modality.IR, PatchSettings())
    assert patch is not None
    out |= {"patch_clean": round(100 * patch.clean, 1), "patch": round(100 * patch.accepted, 1)}
    effort = measure_strength(victim, [batches[0].select(torch.arange(8))], "all", PerturbSettings())
    out["steps"] = {str(one.value): round(one.objective, 3) for one in effort if one.varied == "steps"}
    return out


def _slug(arm: str) -> str:
    return arm.replace(", ", "_").replace(" ", "_")


def _share(flags: list[torch.Tensor]) -> float:
    return round(100 * float(torch.cat(flags).double().mean()), 1)


def _table(rows: list[dict[str, Any]], arms: list[str]) -> list[str]:
    """One row per arm and place, means over seeds, in per cent."""
    keys = ("hter", "hter_mean", "clean", *KINDS, "taught", "patch_clean", "patch")
    lines = ["| trained | on | " + " | ".join(keys) + " |", "| --- | --- |" + " ---: |" * len(keys)]
    for place in ("validation", "dev_a", "dev_b"):
        for arm in arms:
            own = [row[place] for row in rows if row["arm"] == arm]
            lines.append(
                f"| {arm} | {place} | " + " | ".join(f"{np.mean([r[k] for r in own]):.1f}" for k in keys) + " |"
            )
    return lines


if __name__ == "__main__":
    main()
