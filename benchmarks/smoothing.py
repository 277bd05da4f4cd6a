"""What label smoothing changes: errors, errors under attack, calibration; at home and at another site.

``python benchmarks/smoothing.py --out runs/smoothing`` simulates `dev_a` and `dev_b`, trains on each of them once for
every amount and kind of smoothing and every seed, and measures the model on people of its own site that it was not
trained on (``in_site``; half of them set threshold and epoch) and on the whole of the other site (``cross_site``). Then
streams of the other site are adapted to, with hard and with soft pseudo labels. ``smoothing.json`` holds a row for each
model and each stream, ``smoothing.md`` the tables. Finished rows are kept: an interrupted run continues, also with more
seeds, amounts or patterns, and refuses to with other captures or another training.

The attack on pixels is the kind ``all`` of `mfas audit attack` (both its starts, ``--steps`` each) on one capture of
each attack presentation. It raises the fused logit itself, so a flat loss cannot hide the slope from it.
``transferred`` shows the same captures as perturbed against the model without smoothing: a defence that only hides
slopes fails there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from smoothing_tables import tables

from mfas._files import atomic_path, make_folder, read_json, write_json, write_text
from mfas.adaptation.gate import Gate, GateSettings, limits_of
from mfas.adaptation.registry import create
from mfas.audit.kinds import PerturbSettings, perturb
from mfas.audit.victim import Victim
from mfas.benchmark.training_run import TrainConfig, train
from mfas.card import CARD_FILE, Card, Preprocess
from mfas.config import environment, parse
from mfas.core import MISSING_PATTERNS, Batch, Label, parse_modalities
from mfas.data.cropping import crop_manifest
from mfas.data.dataset import CachedTensors
from mfas.data.manifest import read_manifest
from mfas.metrics import evaluate, expected_calibration_error, overconfident_errors
from mfas.models.contract import FasModel
from mfas.models.store import load_model
from mfas.simulation import SIMULATOR_VERSION, load_site, simulate
from mfas.training.validation import score_patterns

SITES = ("dev_a", "dev_b")
GRID = ("seeds", "standard", "adversarial", "streams", "missing")
"""What may grow from one run to the next."""
Floats = NDArray[np.float64]
Groups = tuple[Floats, dict[str, Floats]]
"""Scores of bona fide presentations, and of attack presentations by species."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One trained model."""

    source: str
    smoothing: str
    amount: float
    seed: int

    @property
    def target(self) -> str:
        return SITES[1 - SITES.index(self.source)]

    @property
    def name(self) -> str:
        return f"{self.source}_{self.smoothing}_{self.amount:g}_{self.seed}"


class Captures:
    """A site's captures in memory, and what is known of them."""

    def __init__(self, manifest: Path, spec: Preprocess) -> None:
        self.data = CachedTensors(read_manifest(manifest).in_arrival_order(), spec)
        part = self.data.manifest.take(self.data.rows)
        self.capture = part.column("capture_id").astype(str)
        self.presentation = part.column("presentation_id").astype(str)
        self.species = part.column("species").astype(str)
        self.split = part.column("split").astype(str)
        self.all = np.arange(len(self.data))

    def chunks(self, rows: NDArray[np.int64], size: int = 64) -> Iterator[Batch]:
        for start in range(0, len(rows), size):
            yield self.data.batch(rows[start : start + size].tolist())

    def groups(self, rows: NDArray[np.int64], score: Floats) -> Groups:
        """Mean score of each presentation, by class and species."""
        _, first, group = np.unique(self.presentation[rows], return_index=True, return_inverse=True)
        mean, species = np.bincount(group, score) / np.bincount(group), self.species[rows][first]
        return mean[species == ""], {str(s): mean[species == s] for s in np.unique(species) if s}

    def first_of_attacks(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The first capture of each attack presentation."""
        _, first = np.unique(self.presentation[rows], return_index=True)
        chosen = rows[np.sort(first)]
        return chosen[self.species[chosen] != ""]


def main() -> None:
    """Run it."""
    given = _arguments()
    torch.set_num_threads(1)
    if (given.standard or given.adversarial) and 0.0 not in given.standard:
        raise SystemExit(
            "expected 0 among --standard: what is transferred is perturbed against the model without smoothing"
        )
    settings = {key: value for key, value in vars(given).items() if key != "out"} | {"simulator": SIMULATOR_VERSION}
    _same_settings(given.out, {key: value for key, value in settings.items() if key not in GRID})
    spec = Preprocess(size=given.size)
    sites = {name: Captures(_simulated(name, given), spec) for name in SITES}
    amounts = [("standard", x) for x in given.standard] + [("adversarial", x) for x in given.adversarial]
    rows = []
    for seed in given.seeds:
        cells = [Cell(source, kind, x, seed) for kind, x in amounts for source in SITES]
        rows += [_kept(given.out, cell.name, lambda cell=cell: _model_row(cell, given, sites)) for cell in cells]
        for cell in (cell for cell in cells if cell.smoothing == "standard" and cell.amount in given.streams):
            for missing in given.missing:
                for soft in (False, True):
                    name = f"stream_{cell.name}_{missing or 'nothing'}_{'soft' if soft else 'hard'}"
                    stream = (cell, given, sites, missing, soft)
                    rows.append(_kept(given.out, name, lambda stream=stream: _stream_row(*stream)))
    command = " ".join(["python benchmarks/smoothing.py", *sys.argv[1:]])
    head = {"kind": "smoothing", "schema": 1, "command": command, "config": settings, "environment": environment()}
    write_json(given.out / "smoothing.json", head | {"rows": rows})
    write_text(given.out / "smoothing.md", tables(rows))
    print(tables(rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/smoothing"))
    parser.add_argument("--count", type=int, default=720, help="captures a site")
    parser.add_argument("--subjects", type=int, default=72, help="people a site")
    parser.add_argument("--size", type=int, default=48, help="pixels of the network's input")
    parser.add_argument("--width", type=int, default=16, help="of the compact backbone; a multiple of 16")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--epoch-captures", type=int, default=864, help="twice a site's captures for training")
    parser.add_argument("--batch-size", type=int, default=24)
    parser.add_argument("--model", default="mfas_danet")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of training")
    parser.add_argument("--standard", type=float, nargs="*", default=[0.0, 0.05, 0.1, 0.2, 0.3, 0.45])
    parser.add_argument("--adversarial", type=float, nargs="*", default=[0.1, 0.3])
    parser.add_argument("--streams", type=float, nargs="*", default=[0.05], help="amounts that also adapt")
    parser.add_argument("--missing", nargs="*", default=[""], help="patterns of those streams")
    parser.add_argument("--steps", type=int, default=5, help="of the attack on pixels")
    return parser.parse_args()


def _same_settings(out: Path, settings: Mapping[str, Any]) -> None:
    make_folder(out)
    path = out / "settings.json"
    if path.exists() and read_json(path, "settings of this run") != settings:
        raise SystemExit(f"{out} holds a run with other settings: choose another --out")
    write_json(path, settings)


def _simulated(name: str, given: argparse.Namespace) -> Path:
    """The manifest of the site's crops."""
    folder, crops = given.out / "sites" / name, given.out / "crops" / name
    if not (folder / "manifest.parquet").exists():
        site = load_site(name).model_copy(update={"subjects": given.subjects})
        simulate(site, count=given.count, seed=0, out=folder)
    if not (crops / "manifest.parquet").exists():
        crop_manifest(read_manifest(folder / "manifest.parquet"), crops, size=given.size)
    return Path(crops / "manifest.parquet")


def _kept(out: Path, name: str, make: Any) -> dict[str, Any]:
    path = out / "rows" / f"{name}.json"
    if not path.exists():
        start = perf_counter()
        row = make()
        write_json(path, row | {"seconds": perf_counter() - start})
        print(f"{name}: {perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
    found: dict[str, Any] = read_json(path, "a finished row")
    return found


def _model_row(cell: Cell, given: argparse.Namespace, sites: Mapping[str, Captures]) -> dict[str, Any]:
    folder = given.out / "models" / cell.name
    if not (folder / CARD_FILE).exists():
        loop = {"epochs": given.epochs, "label_smoothing": cell.amount, "smoothing": cell.smoothing}
        config = {"manifest": [given.out / "crops" / cell.source / "manifest.parquet"], "out": folder, "loop": loop}
        config |= {"model": given.model, "seed": cell.seed, "preprocess": {"size": given.size}, "threads": 1}
        config |= {"batch_size": given.batch_size, "epoch_captures": given.epoch_captures}
        config |= {"architecture": {"backbone_options": {"width": given.width}}}
        train(parse(TrainConfig, config, "training"))
    model, card = load_model(folder)
    model.requires_grad_(False)
    here, there = sites[cell.source], sites[cell.target]
    plain = Cell(cell.source, "standard", 0.0, cell.seed)
    places = {"in_site": (here, np.flatnonzero(here.split != "train")), "cross_site": (there, there.all)}
    measured = {}
    for place, (site, rows) in places.items():
        transfer = given.out / "perturbed" / f"{plain.name}_{place}.safetensors"
        measured[place] = _measure(model, card, site, rows, transfer, given.steps, make=cell == plain)
        measured[place]["passed_gate"] = _passed(model, card, site, rows)
    limits = asdict(limits_of(GateSettings(), card))
    return {"part": "model", **asdict(cell), "target": cell.target, "limits": limits, **measured}


def _measure(
    model: FasModel, card: Card, site: Captures, rows: NDArray[np.int64], transfer: Path, steps: int, make: bool
) -> dict[str, Any]:
    """Figures of a model at the thresholds of its card; ``make`` writes the perturbed captures to ``transfer``."""
    found = score_patterns(model, site.chunks(rows))
    groups = {missing: site.groups(rows[found[missing].rows], found[missing].score) for missing in MISSING_PATTERNS}
    by_pattern = {m: evaluate(*groups[m], card.threshold(m), draws=0) for m in MISSING_PATTERNS}
    bona_fide, attacks = groups[""]
    chosen = site.first_of_attacks(rows)
    victim, search = Victim(card.model, model, card), PerturbSettings(steps=steps)
    images = [
        perturb(victim, batch, "all", search, seed=number).batch for number, batch in enumerate(site.chunks(chosen))
    ]
    if make:
        flat = {f"{n}.{m.value}": x for n, batch in enumerate(images) for m, x in batch.images.items()}
        transfer.parent.mkdir(exist_ok=True)
        with atomic_path(transfer) as temporary:
            save_file(flat, temporary)
    out: dict[str, Any] = {"n_bona_fide": len(bona_fide), "n_attack": by_pattern[""].n_attack}
    out |= {key: getattr(by_pattern[""], key) for key in ("hter", "bpcer", "apcer", "apcer_max", "auc")}
    out["hter_by_pattern"] = {missing: value.hter for missing, value in by_pattern.items()}
    out["hter_patterns"] = float(np.mean(list(out["hter_by_pattern"].values())))
    out["ece"] = expected_calibration_error(bona_fide, attacks)
    out["overconfident"] = overconfident_errors(bona_fide, attacks)
    kept = load_file(transfer)
    seen = list(site.chunks(chosen))
    sent = [Batch({m: kept[f"{n}.{m.value}"] for m in b.images}, b.present, b.ids) for n, b in enumerate(seen)]
    for name, batches in (("single", seen), ("attacked", images), ("transferred", sent)):
        scores = np.concatenate([model.predict(batch).score.double().numpy() for batch in batches])
        fooled = site.groups(chosen, scores)[1]
        errors = evaluate(bona_fide, fooled, card.threshold(""), draws=0)
        out[name] = {key: getattr(errors, key) for key in ("hter", "apcer", "auc")}
        out[name]["overconfident"] = overconfident_errors([], fooled)
    return out


@torch.no_grad()
def _passed(model: FasModel, card: Card, site: Captures, rows: NDArray[np.int64]) -> dict[str, list[int]]:
    """By pseudo label that the gate gives: how many captures are right, and how many got it, out of how many."""
    gate, live = Gate(GateSettings(), card), site.species[rows] == ""
    verdicts = [gate.judge(model(batch)) for batch in site.chunks(rows)]
    accept = torch.cat([v.accept for v in verdicts]).numpy()
    said = torch.cat([v.bona_fide for v in verdicts]).numpy()
    out = {}
    for label, wanted in ((Label.BONA_FIDE, True), (Label.ATTACK, False)):
        given = accept & (said == wanted)
        out[label.value] = [int((given & (live == wanted)).sum()), int(given.sum()), int((live == wanted).sum())]
    return out


def _stream_row(
    cell: Cell, given: argparse.Namespace, sites: Mapping[str, Captures], missing: str, soft: bool
) -> dict[str, Any]:
    """One pass over the other site in arrival order, scored before each update; labels are joined afterwards."""
    model, card = load_model(given.out / "models" / cell.name)
    site = sites[cell.target]
    source = score_patterns(model, site.chunks(site.all), [missing])[missing]
    before = evaluate(*site.groups(site.all, source.score), card.threshold(missing), draws=0)
    adapter = create("mfas_danet", model, card, {"soft_labels": soft}, cell.seed)
    truth = dict(zip(site.capture.tolist(), site.species, strict=True))
    score, updates, drift = [], 0, 0.0
    right = {label.value: [0, 0] for label in Label}
    for batch in site.chunks(site.all, 10):
        prediction, report = adapter.step(batch.impose(parse_modalities(missing)))
        score.append(prediction.score.double().numpy())
        updates, drift = updates + report.updated, max(drift, report.drift)
        for name, label in zip(report.accepted_ids, report.pseudo_labels, strict=True):
            right[label][0] += (truth[name] == "") == (label == Label.BONA_FIDE.value)
            right[label][1] += 1
    after = evaluate(*site.groups(site.all, np.concatenate(score)), card.threshold(missing), draws=0)
    errors = {f"{key}_{when}": getattr(figure, key) for when, figure in (("source", before), ("adapted", after))
              for key in ("hter", "bpcer", "apcer_max", "auc")}  # fmt: skip
    facts = {"missing": missing, "soft_labels": soft, "updates": updates, "drift": drift, "labels_right": right}
    return {"part": "stream", **asdict(cell), "target": cell.target, **facts, **errors}


if __name__ == "__main__":
    main()
