"""Every registered model in one table: what it costs, and what it does unadapted and adapted under P1, P2 and P3.

``python benchmarks/rival_models.py [CONFIG ...]`` runs ``bench/rivals_models.yaml`` and ``bench/rivals_models_p3.yaml``
(or other benches of the same two methods) and prints Markdown. Both benches keep what they have finished, so a second
call only reads; the transformer that they name must have been pre-trained (see the first of them). Costs are those of
the architectures of the configurations, on one thread of this machine.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from mfas._files import read_json
from mfas.benchmark.bench import run_bench
from mfas.benchmark.bench_config import BASELINE, BenchConfig
from mfas.benchmark.model_costs import ModelCost, model_cost

ADAPTED = "mfas_danet"
CONFIGS = tuple(Path(__file__).parent / "bench" / name for name in ("rivals_models.yaml", "rivals_models_p3.yaml"))
Row = Mapping[str, Any]


def main(paths: Iterable[Path]) -> None:
    """Run, then print a table for each target, and the costs."""
    torch.set_num_threads(1)
    configs = [BenchConfig.resolve(path, (), {}) for path in paths]
    runs = [rows_of(config) for config in configs]
    names = list(dict.fromkeys(name for config in configs for name in config.models))
    for target in dict.fromkeys(row["target"] for rows in runs for row in rows):
        print("\n".join(errors(target, names, configs, runs)) + "\n")
    print("\n".join(costs(names, configs)))


def rows_of(config: BenchConfig) -> list[Row]:
    """The runs of one bench, computed where they are not kept."""
    run_bench(config, say=lambda text: print(text, file=sys.stderr))
    rows: list[Row] = read_json(config.out / "results.json", "results of the bench")["runs"]
    return rows


def errors(target: str, names: list[str], configs: list[BenchConfig], runs: list[list[Row]]) -> list[str]:
    """HTER in per cent at one target by protocol and pattern, and AUC; unadapted -> adapted, `-` where not run."""
    here = [[row for row in rows if row["target"] == target] for rows in runs]
    columns = [
        (f"from {len(config.sources_of(target))} sites" + (f", no {missing}" if missing else ""), rows, missing)
        for config, rows in zip(configs, here, strict=True)
        for missing in config.missing
    ]
    lines = [
        " | ".join([f"| `{target}`", "AUC", *(text for text, _, _ in columns)]) + " |",
        "| --- |" + " ---: |" * (1 + len(columns)),
    ]
    for name in names:
        cells = [_pair(name, here[0], "", "auc"), *(_pair(name, rows, missing) for _, rows, missing in columns)]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return lines


def costs(names: list[str], configs: list[BenchConfig]) -> list[str]:
    """Size and speed."""
    lines = [
        "| model | parameters, M | trainable, M | GFLOP per capture | captures/s |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name in names:
        cost = _cost(name, next(config for config in configs if name in config.models))
        millions = f"{cost.parameters / 1e6:.2f} | {cost.trainable / 1e6:.2f}"
        lines.append(f"| `{name}` | {millions} | {cost.flops / 1e9:.3f} | {cost.captures_per_second:.0f} |")
    return lines


def _cost(name: str, config: BenchConfig) -> ModelCost:
    training = config.training_of(name, config.sources_of(config.targets[0]), config.training.seeds[0])
    return model_cost(training.model, training.preprocess, training.architecture)


def _pair(name: str, rows: Iterable[Row], missing: str, key: str = "hter") -> str:
    mine = [row for row in rows if row["model"] == name and row["missing"] == missing]
    found = [[row[key] for row in mine if row["method"] == method] for method in (BASELINE, ADAPTED)]
    if any(not values or None in values for values in found):
        return next((row["status"] for row in mine if row["status"] != "ok"), "-")
    return " → ".join(f"{100 * fmean(values):.1f}" for values in found)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]] or CONFIGS)
