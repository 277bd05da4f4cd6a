"""Everything that can be wrong with a bench is found here, before anything is simulated or trained."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from mfas._files import read_json
from mfas.adaptation.registry import create as create_adapter
from mfas.adaptation.registry import create_offline, is_offline, parse_settings
from mfas.benchmark.bench_cells import Grid
from mfas.benchmark.bench_config import BenchConfig
from mfas.benchmark.bench_rows import SiteRows, check_roles, restrict, stream_columns
from mfas.benchmark.stream import compose
from mfas.benchmark.training_run import TrainConfig
from mfas.card import CARD_FILE, Card
from mfas.config import Config, parse, read_yaml
from mfas.core import MISSING_PATTERNS
from mfas.data.manifest import read_manifest
from mfas.errors import ConfigError
from mfas.models.registry import create as create_model
from mfas.simulation import SIMULATOR_VERSION, Site, load_site

NOT_COMPARED = ("manifest", "out", "threads", "licence", "gate")
"""Keys of a training that do not change the weights; the sources are compared by name."""


def check(grid: Grid) -> None:
    """Raise `ConfigError`, one sentence, for the first thing that would fail later. Fills ``grid.settings``."""
    config = grid.config
    rows = {name: _site_rows(config, name) for name in config.site_names}
    _check_streams(grid, rows)
    _check_methods(grid)
    for target in config.targets:
        for model in config.models:
            for seed in config.training.seeds:
                training = config.training_of(model, config.sources_of(target), seed)
                if (training.out / CARD_FILE).is_file():
                    check_trained(training, config.sources_of(target))


def planned_site(config: BenchConfig, name: str) -> Site:
    """A simulated site with as many people as the bench asks for."""
    return load_site(name).model_copy(update={"subjects": config.sites.subjects})


def simulated(config: BenchConfig, name: str) -> bool:
    """Whether the site is already there. Raises `ConfigError` when what is there was simulated otherwise."""
    folder = config.manifest_of(name).parent
    if not (folder / "simulation.json").is_file() or not config.manifest_of(name).is_file():
        return False
    facts = read_json(folder / "simulation.json", "simulation record", ConfigError)
    site = planned_site(config, name)
    wanted = {"simulator": SIMULATOR_VERSION, "seed": config.sites.seed, "count": config.sites.count}
    for key, value in wanted.items():
        if facts.get(key) != value:
            raise ConfigError(f"expected captures of '{name}' with {key} {value} in {folder}, got {facts.get(key)}")
    if read_yaml(folder / "site.yaml") != yaml.safe_load(yaml.safe_dump(site.model_dump(mode="json"))):
        raise ConfigError(f"expected captures of '{name}' as this bench describes it in {folder}, got another site")
    return True


def check_trained(training: TrainConfig, sources: tuple[str, ...]) -> Card:
    """The card of a model that is already there. Raises `ConfigError` when it was trained otherwise."""
    card = Card.read(training.out)
    wanted = _flat(training.model_dump(mode="json", exclude=set(NOT_COMPARED)))
    recorded = {**card.training.get("config", {}), "manifest": training.manifest, "out": training.out}
    # a key younger than the model had its default then
    old = parse(TrainConfig, recorded, str(training.out))
    found = _flat(old.model_dump(mode="json", exclude=set(NOT_COMPARED)))
    for key in sorted({*wanted, *found}):
        if wanted.get(key) != found.get(key):
            raise ConfigError(
                f"expected a model trained with {key} {wanted.get(key)} in {training.out}, got {found.get(key)}"
            )
    if card.sources != tuple(sorted(sources)):
        raise ConfigError(
            f"expected a model trained on {', '.join(sorted(sources))} in {training.out}, got {', '.join(card.sources)}"
        )
    return card


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict) or not values:
        return {prefix: values}
    flat = [_flat(inner, f"{prefix}.{key}" if prefix else key) for key, inner in values.items()]
    return {key: value for part in flat for key, value in part.items()}


def _site_rows(config: BenchConfig, name: str) -> SiteRows:
    path: Path | None = config.manifests.get(name)
    if path is not None:
        return SiteRows.of_manifest(name, read_manifest(path, require_labels=True))
    site = planned_site(config, name)
    if site.name != name:
        raise ConfigError(f"expected a built-in site or a name under manifests, got '{name}'")
    simulated(config, name)
    return SiteRows.of_plan(name, site, config.sites.count, config.sites.seed)


def _check_streams(grid: Grid, rows: dict[str, SiteRows]) -> None:
    for target, name in dict.fromkeys((cell.target, cell.stream) for cell in grid.cells()):
        try:
            order = grid.stream_sites(target, name)
            parts = [rows[site] for site in dict.fromkeys(order)]
            check_roles(parts, target, order)
            used = [restrict(part, part.roles(target, order) == "stream") for part in parts]
            compose(grid.recipes[name], stream_columns(used, order), grid.config.seeds[0])
        except ConfigError as reason:
            raise ConfigError(f"stream '{name}' at target '{target}': {reason}") from None


def _check_methods(grid: Grid) -> None:
    """Every method is put around its models, untrained: unknown names and settings, and refusals, show themselves.

    A method that refuses a model only once it is trained makes rows that say so.
    """
    config = grid.config
    pairs = dict.fromkeys((cell.model, cell.method) for cell in grid.cells())
    for model in config.models:
        training = config.training_of(model, config.sources_of(config.targets[0]), config.training.seeds[0])
        card = Card(
            model=training.model,
            architecture=training.architecture,
            preprocess=training.preprocess,
            thresholds=dict.fromkeys(MISSING_PATTERNS, 0.5),
        )
        untrained = create_model(training.model, training.preprocess, training.architecture).eval()
        for row in (row for name, row in pairs if name == model):
            try:
                make = create_offline if is_offline(config.method_of(row)) else create_adapter
                adapter = make(config.method_of(row), deepcopy(untrained), card, config.methods[row].settings)
            except ConfigError as reason:
                raise ConfigError(f"method '{row}' with model '{model}': {reason}") from None
            settings = getattr(adapter, "settings", None)
            if "+" in config.method_of(row):  # the outermost guard would tell its own settings alone
                parts = parse_settings(config.method_of(row), config.methods[row].settings)
                grid.settings[model, row] = {name: own.model_dump(mode="json") for name, own in parts.items()}
            elif isinstance(settings, Config):
                grid.settings[model, row] = settings.model_dump(mode="json")
