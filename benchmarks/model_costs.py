"""One table of what every registered model costs, at its default architecture and 112 pixels, on one thread.

``python benchmarks/model_costs.py [--batch 32] [--json] [NAME ...]``. Speeds compare models of one run only; they are
those of the machine, its load, and plain prediction without decoding.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

import torch

from mfas.benchmark.model_costs import ModelCost, model_cost
from mfas.card import Preprocess
from mfas.models.registry import names


def table(costs: list[ModelCost]) -> str:
    """Markdown, one row per model."""
    lines = [
        "| model | parameters, M | trainable, M | GFLOP per capture | captures/s |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for cost in costs:
        millions = f"{cost.parameters / 1e6:.2f} | {cost.trainable / 1e6:.2f}"
        lines.append(f"| `{cost.model}` | {millions} | {cost.flops / 1e9:.3f} | {cost.captures_per_second:.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="models (default: all that are registered)")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    costs = [model_cost(name, Preprocess(), batch=given.batch) for name in given.names or names()]
    print(json.dumps([asdict(cost) for cost in costs], indent=2) if given.json else table(costs))


if __name__ == "__main__":
    main()
