"""Run by torchrun in `test_ranks.py`: train two models on one manifest, `BATCH` captures to a process."""

from __future__ import annotations

import sys
from pathlib import Path

from mfas.benchmark.training_run import TrainConfig, train


def config(manifest: Path, out: Path, model: str, batch_size: int) -> TrainConfig:
    """A tiny training without dropout, whose masks are drawn by each process for itself."""
    return TrainConfig.resolve(
        given={
            "manifest": [manifest],
            "out": out / model,
            "model": model,
            "batch_size": batch_size,
            "threads": 1,
            "architecture": {"backbone_options": {"width": 16}, "dropout": 0.0},
            "preprocess": {"size": 32},
            "loop": {"epochs": 3},
        }
    )


def main(manifest: Path, out: Path, batch_size: int) -> None:
    """Write a model directory of each below ``out``."""
    for model in ("late_fusion", "mfas_danet"):
        train(config(manifest, out, model, batch_size))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
