"""A bench on two made-up sites: its configuration, a run of it, and what it left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from commands import mfas
from mfas.data.manifest import write_manifest
from mfas.data.scores import read_scores
from planted import Row, captures

EAGER = {
    "gate": {"limits": "fixed", "min_vote": 0.5, "min_dissent": 0.99, "max_entropy_fraction": 1.0, "seen_by_two": 0.5},
    "min_per_class": 2,
    "batch_per_class": 2,
    "update_every": 2,
}


def made_site(root: Path, name: str) -> Path:
    """Captures of ten people whose class is seen in the brightness of all sensors."""

    def change(row: Row, images: dict[str, np.ndarray], attack: bool) -> None:
        who = int(row["subject"][1:])
        row |= {"site": name, "capture_id": f"{name}-{row['capture_id']}", "subject": f"{name}-{who}"}
        row["split"] = ("train", "train", "train", "train", "validation", "validation", "test")[who]
        if attack:
            images["depth"][14:28, 14:28] += 40
            images["rgb"][:, :21] //= 2

    (root / name).mkdir()
    path = root / name / "manifest.parquet"
    write_manifest(captures(root / name, 84, change), path)
    return path


def configuration(root: Path) -> dict[str, Any]:
    """Two sites, three methods, two patterns, two streams: 24 cells."""
    return {
        "out": str(root / "out"),
        "manifests": {name: str(made_site(root, name)) for name in ("a", "b")},
        "targets": ["a", "b"],
        "models": {
            "small": {
                "model": "mfas_danet",
                "preprocess": {"size": 32},
                "architecture": {"backbone_options": {"width": 8}},
                "batch_size": 8,
                "threads": 1,
            }
        },
        "training": {"epochs": 1},
        "methods": {
            "source": {},
            "eager": {"method": "mfas_danet", "settings": EAGER},
            "never": {"method": "mfas_danet", "settings": {"min_per_class": 64}},
        },
        "missing": ["", "depth"],
        "streams": {
            "balanced": {"captures": 20},
            "noise": {"captures": 20, "checkpoints": 2, "failing_sensors": 0.3},
        },
        "seeds": [0],
        "draws": 100,
        "cost_captures": 10,
    }


def run(given: dict[str, Any], folder: Path, **changes: Any) -> dict[str, Any]:
    path = folder / "bench.yaml"
    path.write_text(yaml.safe_dump({**given, **changes}))
    return dict(mfas("benchmark", "--config", path, "--json").json())


def rows_of(out: Path, **equal: Any) -> list[dict[str, Any]]:
    rows = json.loads((out / "results.json").read_text())["runs"]
    return [row for row in rows if all(row[key] == value for key, value in equal.items())]


def scores_of(out: Path, row: dict[str, Any], name: str = "scores.parquet") -> np.ndarray:
    return read_scores(out / "cells" / row["cell"] / name).column("score")
