"""Whether a cheap preview pays in `mfas audit search`: its cost, its rank correlation, and the gain at equal cost.

``python benchmarks/search_lookahead.py --out runs/lookahead.json`` renders attacks of the development sites with random
parameters in full and as previews of several sizes, and scores both: the cost of a preview (seconds, scoring included,
over those of a full render) and Spearman's correlation of the scores. Then it searches with and without looking ahead
under the same budget, where a preview costs what was measured.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from mfas._files import write_json
from mfas.audit.search import Found, Space, Target, Values, at_random, search
from mfas.benchmark.staged_scores import Scores, open_scores, planes_of
from mfas.card import Card
from mfas.config import environment
from mfas.data.preprocess import Planes
from mfas.simulation import Site, choices, load_site, render_staged
from mfas.weights import default_directory

LOOKS = {"48, plain": (48, 1), "56, plain": (56, 1), "80, plain": (80, 1), "112, plain": (112, 1)}
"""Previews: side in pixels, and samples per pixel; a full render has 112 and 2."""


def main() -> None:
    """Measure and print."""
    given = _arguments()
    start = perf_counter()
    card, scores = open_scores(given.model or default_directory(), None, 1)
    places = [(load_site(name), species) for name in ("dev_a", "dev_b") for species in load_site(name).species]
    chosen = [pair for pair in places if not given.species or pair[1] in given.species.split(",")]
    looks = [row for site, species in chosen for row in _looks(site, species, card, scores, given.count)]
    means = {name: _mean(looks, name) for name in LOOKS}
    for name, mean in means.items():
        print(f"{name}: cost {mean['cost']:.2f}, rank correlation {mean['correlation']:.2f}", flush=True)
    best = given.look
    cost = means[best]["cost"]
    gains = [row for site, species in chosen for row in _gains(site, species, card, scores, given, cost)]
    for ahead in (0, *given.ahead):
        own = [row for row in gains if row["ahead"] == ahead]
        print(
            f"ahead {ahead}: best {fmean(r['best'] for r in own):.4f}, accepted {fmean(r['rate'] for r in own):.3f}, "
            f"renders until the first {fmean(r['first'] for r in own):.1f}",
            flush=True,
        )
    result = {
        "command": "python benchmarks/search_lookahead.py",
        "environment": environment(),
        "look": best,
        "means": means,
        "looks": looks,
        "gains": gains,
        "seconds": perf_counter() - start,
    }
    write_json(given.out, result)
    print(f"{result['seconds']:.0f} s")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/lookahead.json"))
    parser.add_argument("--model", type=Path)
    parser.add_argument("--species", default="", help="comma-separated; none = all of both sites")
    parser.add_argument("--count", type=int, default=60, help="random parameters of each species")
    parser.add_argument("--look", default="56, plain", choices=list(LOOKS), help="preview of the searches")
    parser.add_argument("--ahead", type=int, nargs="*", default=[2, 4])
    parser.add_argument("--budget", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    return parser.parse_args()


def _space(site: Site, species: str) -> Space:
    found = choices(site, species)
    return Space(tuple(c.name for c in found), tuple(c.low for c in found), tuple(c.high for c in found))


def _planes(site: Site, species: str, card: Card, values: Values, seed: int, look: tuple[int, int]) -> Planes:
    _, capture = render_staged(site, species, values, seed=seed, resolution=look[0], supersample=look[1])
    return planes_of(capture, site, card)


def _looks(site: Site, species: str, card: Card, scores: Scores, count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    space = _space(site, species)
    values = [space.values(point) for point in rng.random((count, len(space.names)))]
    found, seconds = {}, {}
    for name, look in {"full": (site.resolution, 2), **LOOKS}.items():
        _planes(site, species, card, values[0], 0, look)  # kernels compiled, people known
        start = perf_counter()
        planes = [_planes(site, species, card, value, 0, look) for value in values]
        found[name] = [score for i in range(0, count, 10) for score in scores(planes[i : i + 10])]
        seconds[name] = (perf_counter() - start) / count
    return [
        {
            "site": site.name,
            "species": species,
            "look": name,
            "cost": seconds[name] / seconds["full"],
            "full_seconds": seconds["full"],
            "correlation": float(spearmanr(found["full"], found[name]).statistic),
        }
        for name in LOOKS
    ]


def _mean(rows: list[dict[str, Any]], look: str) -> dict[str, float]:
    return {key: fmean(row[key] for row in rows if row["look"] == look) for key in ("cost", "correlation")}


def _gains(
    site: Site, species: str, card: Card, scores: Scores, given: argparse.Namespace, cost: float
) -> list[dict[str, Any]]:
    space, rows = _space(site, species), []
    for seed in range(given.seeds):

        def full(values: Values, seed: int = seed) -> Planes:
            return _planes(site, species, card, values, seed, (site.resolution, 2))

        def glance(values: Values, seed: int = seed) -> Planes:
            return _planes(site, species, card, values, seed, LOOKS[given.look])

        target = Target(full, scores, glance, cost)
        drawn = at_random(space, target, budget=given.budget, seed=seed)
        rows.append(_row(drawn, site, species, seed, -1, card.threshold()))
        for ahead in (0, *given.ahead):
            found = search(space, target, budget=given.budget, seed=seed, ahead=ahead)
            rows.append(_row(found, site, species, seed, ahead, card.threshold()))
    return rows


def _row(found: Found, site: Site, species: str, seed: int, ahead: int, threshold: float) -> dict[str, Any]:
    """``ahead`` -1 is chance; ``first`` is the budget where nothing was accepted."""
    return {
        "site": site.name,
        "species": species,
        "seed": seed,
        "ahead": ahead,
        "best": found.best.score,
        "rate": len(found.accepted(threshold)) / len(found.trials),
        "renders": len(found.trials),
        "first": found.first_accepted(threshold) or found.cost,
    }


if __name__ == "__main__":
    main()
