"""`mfas audit search`: the plausible attack that a detector accepts, looked for in the simulator's own parameters."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

from mfas._files import make_folder, sha256, write_json
from mfas.audit.search import Found, Space, Target, Trial, Values, at_random, search, spread
from mfas.benchmark.search_config import SearchConfig
from mfas.benchmark.search_rows import arm, findings, rank_correlation, rate
from mfas.benchmark.staged_scores import Scores, open_scores, planes_of
from mfas.card import CARD_FILE, Card
from mfas.config import environment, write_resolved
from mfas.core import Modality, format_modalities, parse_modalities
from mfas.data.manifest import write_manifest
from mfas.data.preprocess import Planes
from mfas.report.search_page import write_search
from mfas.simulation import SIMULATOR_VERSION, Choice, Site, choices, load_site, render_staged, write_capture
from mfas.simulation.heads.base import seed_of
from mfas.weights import default_directory

KIND = "search"
RESULT_FILE, PAGE_FILE, MANIFEST_FILE = "search.json", "search.html", "manifest.parquet"
_FRESH = 1_000_000
"""Scenes from here on are those of the repeats: people and noise that no search has seen."""

Progress = Callable[[int, int], None]
Row = dict[str, Any]


def _silent(done: int, total: int) -> None:
    del done, total


def audit_search(config: SearchConfig, progress: Progress = _silent) -> dict[str, Any]:
    """Search each species; writes ``search.json``, ``search.html``, images and a manifest of what was accepted.

    Accepted means that the full render reaches the card's threshold for ``missing``. The manifest's captures are
    labelled attacks of people of ``split``; where nothing was accepted there is none. Returns what ``search.json``
    holds. Raises `ConfigError` (site), `InputError` (species, budget), `ModelDirError`, `StateError`,
    `MissingExtraError`.
    """
    start = perf_counter()
    site = load_site(config.site)
    names = config.species or tuple(site.species)
    spaces = {name: choices(site, name) for name in names}
    directory = config.model or default_directory()
    card, scores = open_scores(directory, config.delta, config.threads)
    missing = tuple(dict.fromkeys((*card.unknown_modalities(), *parse_modalities(config.missing))))
    make_folder(config.out)
    rows, listed = [], []
    for done, name in enumerate(names):
        progress(done, len(names))
        hunt = Hunt(config, site, name, spaces[name], card, scores, missing)
        row, kept = hunt.run()
        rows.append(row)
        listed += kept
    progress(len(names), len(names))
    if listed:
        write_manifest(listed, config.out / MANIFEST_FILE)
    result = {
        "kind": KIND,
        "schema": 1,
        "command": config.command(),
        "config": config.model_dump(mode="json"),
        "environment": {**environment(), "simulator": SIMULATOR_VERSION},
        "model": {"name": card.model, "card_sha256": sha256(directory / CARD_FILE), "files": dict(card.files)},
        "site": site.name,
        "missing": format_modalities(missing),
        "threshold": card.threshold(format_modalities(missing)),
        "seconds": round(perf_counter() - start, 1),
        "manifest": MANIFEST_FILE if listed else None,
        "page": PAGE_FILE,
        "findings": findings(rows, site.name),
        "rows": rows,
        **card.told(),
    }
    write_json(config.out / RESULT_FILE, result)
    write_search(result, config.out)
    write_resolved(config, config.out, "audit search", site=site.model_dump(mode="json"))
    return result


@dataclass(frozen=True, slots=True)
class Hunt:
    """The search of one species, and the random parameters it is held against."""

    config: SearchConfig
    site: Site
    species: str
    choices: Sequence[Choice]
    card: Card
    scores: Scores
    missing: Sequence[Modality]

    def run(self) -> tuple[Row, list[Row]]:
        """The row of the result, and manifest rows of accepted captures whose images were written."""
        config, threshold = self.config, self.card.threshold(format_modalities(self.missing))
        climbs = [(scene, self._climb(scene, budget)) for scene, budget in self._shares()]
        draws = [(scene, self._draw(scene, budget)) for scene, budget in self._shares()]
        best, best_drawn = _best(climbs), _best(draws)
        easiest = max((best, best_drawn), key=lambda pair: pair[1].score)
        kept = spread([trial for _, found in climbs for trial in found.accepted(threshold)], config.keep)
        scenes = {trial.point: scene for scene, found in climbs for trial in found.trials}
        listed = [self._written(scenes[trial.point], trial) for trial in kept]
        shown = self._written(*easiest)
        return {
            "species": self.species,
            "budget": config.budget,
            "scenes": len(climbs),
            "parameters": [asdict(choice) for choice in self.choices],
            "random": arm([found for _, found in draws], threshold),
            "search": arm([found for _, found in climbs], threshold),
            "repeats": {"random": self._again(best_drawn[1]), "search": self._again(best[1])},
            "rank_correlation": rank_correlation([trial for _, found in climbs for trial in found.trials]),
            "easiest": {
                "by": "search" if easiest is best else "random",
                "score": easiest[1].score,
                "accepted": easiest[1].score >= threshold,
                "values": easiest[1].values,
                **{key: shown[key] for key in ("capture_id", "subject", "presenter", "box")},
                "images": {m.value: shown[m.value] for m in Modality},
            },
            "found": len(listed),
        }, listed

    def _shares(self) -> Iterator[tuple[int, int]]:
        """Scenes and their part of the budget; no scene gets less than one render with its previews."""
        config = self.config
        least = int(1 + config.ahead * config.glance_cost + 0.999)
        scenes = max(1, min(config.scenes, config.budget // least))
        for scene in range(scenes):
            yield scene, config.budget // scenes + (scene < config.budget % scenes)

    def _target(self, scene: int) -> Target[Planes]:
        config = self.config

        def render(values: Values) -> Planes:
            return self._planes(values, scene)

        def glance(values: Values) -> Planes:
            return self._planes(values, scene, config.glance_resolution, supersample=1)

        return Target(render, self.scores, glance if config.ahead else None, config.glance_cost)

    def _planes(
        self, values: Mapping[str, float], scene: int, resolution: int | None = None, supersample: int = 2
    ) -> Planes:
        _, capture = render_staged(
            self.site,
            self.species,
            values,
            seed=self.config.seed,
            number=scene,
            split=self.config.split,
            resolution=resolution,
            supersample=supersample,
        )
        return planes_of(capture, self.site, self.card, self.missing)

    def _space(self) -> Space:
        low, high = (tuple(getattr(choice, end) for choice in self.choices) for end in ("low", "high"))
        return Space(tuple(choice.name for choice in self.choices), low, high)

    def _climb(self, scene: int, budget: int) -> Found:
        target = self._target(scene)
        return search(self._space(), target, budget=budget, seed=self._seed(scene), ahead=self.config.ahead)

    def _draw(self, scene: int, budget: int) -> Found:
        return at_random(self._space(), self._target(scene), budget=budget, seed=self._seed(scene))

    def _seed(self, scene: int) -> int:
        return seed_of("audit search", self.config.seed, self.site.name, self.species, scene)

    def _again(self, trial: Trial) -> Row | None:
        """The same parameters with other people and other noise: what of an attack is not luck."""
        threshold = self.card.threshold(format_modalities(self.missing))
        planes = [self._planes(trial.values, _FRESH + i) for i in range(self.config.repeats)]
        scores = [score for i in range(0, len(planes), 32) for score in self.scores(planes[i : i + 32])]
        return rate(sum(score >= threshold for score in scores), len(scores)) if scores else None

    def _written(self, scene: int, trial: Trial) -> Row:
        config = self.config
        plan, capture = render_staged(
            self.site, self.species, trial.values, seed=config.seed, number=scene, split=config.split
        )
        name = plan.presentation_id.removeprefix(f"{self.site.name}-")
        row = write_capture(self.site, name, plan, 0, capture, config.out)
        return row | {"x_parameters": json.dumps(trial.values)}


def _best(found: Sequence[tuple[int, Found]]) -> tuple[int, Trial]:
    return max(((scene, part.best) for scene, part in found), key=lambda pair: pair[1].score)
