"""Small captures on disk in which nothing but what a test plants tells the classes apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

Row = dict[str, Any]
Change = Callable[[Row, dict[str, np.ndarray], bool], None]


def captures(root: Path, count: int = 24, change: Change | None = None) -> list[Row]:
    """Rows of small captures on disk in which nothing but ``change(row, images, attack)`` tells the classes apart."""
    rows: list[Row] = []
    for i in range(count):
        rng = np.random.default_rng(i)
        attack = bool(rng.permutation(2)[0]) if i >= 2 else bool(i)
        images = {
            "rgb": rng.integers(60, 200, (42, 42, 3), dtype=np.uint8),
            "depth": rng.integers(580, 640, (42, 42)).astype(np.uint16),
            "ir": rng.integers(50, 90, (42, 42)).astype(np.uint8),
        }
        row: Row = {"capture_id": f"{rng.integers(1 << 30):08x}", "box": "full", "site": "lab", "subject": f"s{i % 7}"}
        row |= {"label": "attack" if attack else "bona_fide", "species": "print_flat" if attack else ""}
        row |= {"split": "train"}
        if change is not None:
            change(row, images, attack)
        for name, image in images.items():
            if name not in row:
                row[name] = f"{i}_{name}.png"
                cv2.imwrite(str(root / row[name]), image)
        rows.append(row)
    return rows


def black_border(row: Row, images: dict[str, np.ndarray], attack: bool) -> None:
    if attack:
        images["rgb"][:1] = images["rgb"][-1:] = 0


def larger_file(row: Row, images: dict[str, np.ndarray], attack: bool) -> None:
    if not attack:
        images["ir"] //= 16


def flat(row: Row, images: dict[str, np.ndarray], attack: bool) -> None:
    """Attacks are planes, bona fide are not: a cue with a cause."""
    if not attack:
        images["depth"][14:28, 14:21] += 60


def no_depth(row: Row, images: dict[str, np.ndarray], attack: bool) -> None:
    if attack:
        row["depth"] = ""


def names(row: Row, images: dict[str, np.ndarray], attack: bool) -> None:
    row["capture_id"] = ("spoof" if attack else "live") + row["capture_id"]


def dark(row: Row, images: dict[str, np.ndarray], attack: bool) -> None:
    """Attacks are dark, quick to learn; every third capture has no depth, and two people are for validation."""
    images["rgb"] //= 1 + attack
    row["split"] = "validation" if row["subject"] in ("s0", "s3") else "train"
    if int(str(row["capture_id"]), 16) % 3 == 0:
        row["depth"] = ""
