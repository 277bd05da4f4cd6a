"""The table of what the sensors of each site measure of bona fide captures, beside two real sensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfas.benchmark.separation import Groups
from mfas.data.measure import Column


@dataclass(frozen=True, slots=True)
class Figure:
    """A column of the table: a statistic times ``factor``."""

    name: str
    title: str
    statistic: str
    factor: float = 1.0


SIXTEEN_BIT = 65535.0

FIGURES = (
    Figure("distance_mm", "distance, mm", "depth_distance", 1000.0),
    Figure("depth_noise_mm", "depth noise, mm", "depth_noise"),
    Figure("missing_middle_pct", "missing, middle third, %", "depth_missing_middle", 100.0),
    Figure("missing_crop_pct", "missing, whole crop, %", "depth_missing", 100.0),
    Figure("relief_mm", "relief, middle third, mm", "depth_relief"),
    Figure("ir_middle", "IR, median of middle third, 16 bit", "ir_middle", SIXTEEN_BIT),
    Figure("ir_p99", "IR, 99th percentile, 16 bit", "ir_p99", SIXTEEN_BIT),
    Figure("ir_background_pct", "IR, border over face, %", "ir_background_share", 100.0),
    Figure("face_height_px", "face height, px", "box_height"),
)


def _span(median: float | None, low: float | None = None, high: float | None = None) -> dict[str, float | None]:
    return {"median": median, "low": low, "high": high}


REFERENCES: tuple[dict[str, Any], ...] = (
    {
        "name": "Kinect v2",
        "over": "time of flight, 17 live people",
        "figures": {
            "distance_mm": _span(915, 730, 990),
            "depth_noise_mm": _span(1.6, 1.3, 2.0),
            "missing_middle_pct": _span(0, 0, 1.4),
            "missing_crop_pct": _span(16, 6, 23),
            "relief_mm": _span(59, 39, 106),
            "ir_middle": _span(6000, 4500, 9200),
            "ir_p99": _span(9400, 7300, 15600),
            "ir_background_pct": _span(3),
            "face_height_px": _span(None, 60, 100),
        },
    },
    {
        "name": "phone sensor",
        "over": "structured light, mannequin head",
        "figures": {
            "distance_mm": _span(277, 255, 322),
            "depth_noise_mm": _span(0.19, 0.17, 0.22),
            "missing_middle_pct": _span(0.2, 0, 0.7),
            "missing_crop_pct": _span(7, 6, 11),
            "relief_mm": _span(24, 19, 45),
            "ir_middle": None,
            "ir_p99": None,
            "ir_background_pct": None,
            "face_height_px": _span(200),
        },
    },
)
"""Real captures: median over frames and [5 %, 95 %], on a crop that holds the face."""


def sensor_row(values: Mapping[str, Column], groups: Groups) -> dict[str, Any]:
    """One site: median and [5 %, 95 %] of every figure over bona fide captures; over all if it has no labels."""
    labelled = bool(groups.bona_fide.any() or groups.attack.any())
    chosen = groups.bona_fide if labelled else groups.here
    figures: dict[str, Any] = {}
    for figure in FIGURES:
        found = values[figure.statistic][chosen]
        found = found[~np.isnan(found)] * figure.factor
        low, median, high = np.percentile(found, [5, 50, 95]).tolist() if found.size else (None, None, None)
        figures[figure.name] = _span(median, low, high) if found.size else None
    over = "bona fide captures" if labelled else "all captures, there are no labels"
    return {"name": groups.site, "over": over, "captures": int(chosen.sum()), "figures": figures}
