"""What explanations are worth and cost: the default model and two rivals, on captures simulated at ``dev_b``.

``python benchmarks/explanations.py --out runs/explanations`` simulates ``dev_a`` and ``dev_b``, trains `late_fusion`
and `cross_attention` on ``dev_a`` for a few epochs, and leaves ``explanations.json`` and ``explanations.md`` there.
``--model NAME=DIR``, once or more, gives the rivals, and none is trained. What is there already is kept. One thread.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from torch import nn

from mfas._files import make_folder, write_json, write_text
from mfas.benchmark.training_run import TrainConfig, train
from mfas.card import CARD_FILE, Card
from mfas.config import environment
from mfas.core import MODALITIES, Batch, Label
from mfas.data.dataset import CachedTensors
from mfas.data.manifest import read_manifest
from mfas.explain.coalitions import coalition_logits
from mfas.explain.empty import zero_maps
from mfas.explain.explain import explain
from mfas.explain.record import EmptyValue
from mfas.explain.saliency import cell_maps
from mfas.explain.settings import ExplainSettings
from mfas.explain.shapley import shapley
from mfas.metrics import auc
from mfas.models.contract import FasModel
from mfas.models.store import load_model
from mfas.simulation import SIMULATOR_VERSION, load_site, simulate
from mfas.weights import default_directory

RIVALS = ("late_fusion", "cross_attention")
SALIENCIES = ("integrated_gradients", "input_x_gradient", "gradient")
WHOLE = frozenset(MODALITIES)


def main() -> None:
    given = _arguments()
    start = perf_counter()
    torch.set_num_threads(1)
    make_folder(given.out)
    listed = read_manifest(_simulated(given, "dev_b", given.count))
    named = {"default": default_directory(), **dict(text.split("=", 1) for text in given.model)}
    if not given.model:
        learnt = _simulated(given, "dev_a", given.train)
        named |= {name: _trained(given, name, learnt) for name in RIVALS}
    rows: dict[str, dict[str, Any]] = {}
    maps: dict[str, dict[str, Any]] = {}
    for name, directory in named.items():
        model, card = load_model(Path(directory))
        data = CachedTensors(listed, card.preprocess, workers=2)
        live = np.asarray(data.manifest.column("label")[data.rows] == Label.BONA_FIDE.value)
        kinds = SALIENCIES if name == "default" else SALIENCIES[:1]
        full = {kind: _explained(model, card, data, given, kind) for kind in kinds}
        rows[name] = _game(model, card, data, live, given.seed) | full[SALIENCIES[0]]
        rows[name]["randomised"] = _randomised(model, data, given)
        maps = maps or full
        _write(given, len(listed), rows, maps)
        print(f"{name} after {perf_counter() - start:.0f} s, {process_time():.0f} s of this processor", flush=True)
    print((given.out / "explanations.md").read_text(encoding="utf-8"))


def _write(
    given: argparse.Namespace, captures: int, rows: dict[str, dict[str, Any]], maps: dict[str, dict[str, Any]]
) -> None:
    facts = {"simulator": SIMULATOR_VERSION, "captures": captures, "explained": given.maps, "seed": given.seed}
    found = {"models": rows, "saliency": maps, **facts, "environment": environment()}
    write_json(given.out / "explanations.json", found)
    write_text(given.out / "explanations.md", f"{_models_table(rows)}\n\n{_maps_table(maps)}\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/explanations"))
    parser.add_argument("--train", type=int, default=150, help="captures of dev_a that the rivals learn from")
    parser.add_argument("--count", type=int, default=48, help="captures of dev_b for what needs no gradient")
    parser.add_argument("--maps", type=int, default=12, help="of them explained in full")
    parser.add_argument("--epochs", type=int, default=6, help="of the rivals")
    parser.add_argument("--model", action="append", default=[], metavar="NAME=DIR", help="a rival")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _simulated(given: argparse.Namespace, name: str, count: int) -> Path:
    folder: Path = given.out / "sites" / f"{name}-{count}"
    if not (folder / "simulation.json").exists():
        simulate(load_site(name), count=count, seed=given.seed, out=folder, workers=2)
    return folder / "manifest.parquet"


def _trained(given: argparse.Namespace, name: str, manifest: Path) -> Path:
    out: Path = given.out / "models" / name
    if not (out / CARD_FILE).exists():
        values = {"manifest": [manifest], "out": out, "model": name, "loop": {"epochs": given.epochs}, "threads": 1}
        train(TrainConfig.resolve(given={**values, "seed": given.seed}))
    return out


def _origin(model: FasModel, card: Card) -> EmptyValue:
    mean = card.source_mean
    return zero_maps(model) if mean is None else EmptyValue(mean.logit, "source_mean", mean.captures, mean.sources)


def _game(model: FasModel, card: Card, data: CachedTensors, live: np.ndarray[Any, Any], seed: int) -> dict[str, Any]:
    """Efficiency, and what the model loses without its strongest witness, against a modality drawn at random."""
    parts = [coalition_logits(model, data.batch(range(at, min(at + 8, len(data))))) for at in range(0, len(data), 8)]
    games = {some: torch.cat([part[some] for part in parts]).numpy() for some in parts[0]}
    origin = _origin(model, card)
    games[frozenset()] = np.full(len(data), origin.logit)
    phi = shapley(games)
    sign = np.where(1 / (1 + np.exp(-games[WHOLE])) >= card.threshold(), 1.0, -1.0)
    order = np.argsort(np.stack([sign * phi[m] for m in MODALITIES]), axis=0)
    without = np.stack([games[WHOLE - {m}] for m in MODALITIES])
    drawn = np.random.default_rng(seed).integers(0, len(MODALITIES), len(data))
    at = np.arange(len(data))
    left = {"top": without[order[-1], at], "random": without[drawn, at], "least": without[order[0], at]}
    return {
        "empty": origin.kind,
        "empty_logit": origin.logit,
        "threshold_logit": float(np.log(card.threshold() / (1 - card.threshold()))),
        "gap": float(np.abs(games[WHOLE] - games[frozenset()] - sum(phi.values())).max()),
        "phi": {m.value: float(np.abs(phi[m]).mean()) for m in MODALITIES},
        "top": {m.value: float((order[-1] == k).mean()) for k, m in enumerate(MODALITIES)},
        "drop": {name: float((sign * (games[WHOLE] - logit)).mean()) for name, logit in left.items()},
        "auc": {name: _auc(logit, live) for name, logit in {"all": games[WHOLE], **left}.items()},
    }


def _auc(logit: np.ndarray[Any, Any], live: np.ndarray[Any, Any]) -> float:
    score = 1 / (1 + np.exp(-logit))
    return float(auc(score[live], {"attack": score[~live]}))


def _explained(
    model: FasModel, card: Card, data: CachedTensors, given: argparse.Namespace, kind: str
) -> dict[str, Any]:
    """Full explanations of the first captures: deletion, stability, influence, seconds of processor time."""
    origin, settings = _origin(model, card), ExplainSettings(saliency=kind)
    records, seconds, predicted = [], [], []
    for index in range(min(given.maps, len(data))):
        batch = data.batch([index])
        start = process_time()
        accepted = float(model.predict(batch).score[0]) >= card.threshold()
        predicted.append(process_time() - start)
        start = process_time()
        records.append(explain(model, batch, origin, accepted=accepted, settings=settings, seed=given.seed).record)
        seconds.append(process_time() - start)
    mapped, random = (np.array([getattr(r.deletion, name) for r in records]) for name in ("mapped", "random"))
    return {
        "deletion": {
            "mapped": float(mapped.mean()),
            "random": float(random.mean()),
            "better": float((mapped > random).mean()),
        },
        "stability": {
            name: float(np.median([getattr(r.stability, name) for r in records]))
            for name in ("ratio", "change", "shift")
        },
        "influence": {
            m.value: {n.value: float(np.mean([r.influence[m][n] for r in records])) for n in MODALITIES if n is not m}
            for m in MODALITIES
        },
        "seconds": {"median": float(np.median(seconds)), "largest": float(np.max(seconds))},
        "predictions": float(np.median(seconds) / np.median(predicted)),
    }


def _randomised(model: FasModel, data: CachedTensors, given: argparse.Namespace) -> float:
    """Mean correlation of signed maps with those of the same network, convolutions and dense layers drawn anew."""
    other = copy.deepcopy(model)
    torch.manual_seed(given.seed)
    for module in other.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.reset_parameters()
    found = []
    for index in range(min(4, len(data))):
        one, two = (_flat_maps(net, data.batch([index])) for net in (model, other))
        found.append(np.corrcoef(one, two)[0, 1])
    return float(np.mean(found))


def _flat_maps(model: FasModel, batch: Batch) -> np.ndarray[Any, Any]:
    maps = cell_maps(model, batch, [WHOLE], ExplainSettings())[WHOLE]
    return np.concatenate([maps[m].numpy().ravel() for m in MODALITIES])


def _models_table(rows: dict[str, dict[str, Any]]) -> str:
    lines = [
        "| model | largest gap | AUC | without the top | without one at random | drop, top / random / least "
        "| stability | deletion, maps / random | maps better | randomised weights | CPU s a capture | predictions |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, r in rows.items():
        aucs = " | ".join(f"{r['auc'][key]:.3f}" for key in ("all", "top", "random"))
        drop = " / ".join(f"{r['drop'][key]:.2f}" for key in ("top", "random", "least"))
        areas = f"{r['deletion']['mapped']:.2f} / {r['deletion']['random']:.2f}"
        lines.append(
            f"| `{name}` | {r['gap']:.0e} | {aucs} | {drop} | {r['stability']['ratio']:.2f} | {areas} "
            f"| {100 * r['deletion']['better']:.0f} % | {r['randomised']:.2f} | {r['seconds']['median']:.2f} "
            f"| {r['predictions']:.0f} |"
        )
    return "\n".join(lines)


def _maps_table(rows: dict[str, dict[str, Any]]) -> str:
    lines = ["| saliency | deletion, maps / random | maps better | CPU s a capture |", "| --- | ---: | ---: | ---: |"]
    for name, r in rows.items():
        areas = f"{r['deletion']['mapped']:.2f} / {r['deletion']['random']:.2f}"
        lines.append(f"| `{name}` | {areas} | {100 * r['deletion']['better']:.0f} % | {r['seconds']['median']:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
