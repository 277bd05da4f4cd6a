"""From no modality to the verdict: one bar for what each sensor adds."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mfas.core import Modality
from mfas.report import _svg
from mfas.report._text import MODALITY_NAMES

_EDGE = 1e-6


def figure(result: Mapping[str, Any]) -> str:
    """Waterfall over the logit as SVG text; ``result`` as in ``explanation.json``."""
    made = result["explanation"]
    rows = len(made["phi"]) + 2

    def draw(canvas: Figure) -> None:
        axis = canvas.subplots()
        _bars(axis, made)
        threshold = min(1 - _EDGE, max(_EDGE, result["threshold"]))
        axis.axvline(log(threshold / (1 - threshold)), color=_svg.INK, linewidth=1.1, linestyle="--")
        axis.annotate(
            "threshold", (log(threshold / (1 - threshold)), -0.62), (4, 0), textcoords="offset points", fontsize=8
        )
        axis.set_ylim(rows - 0.5, -0.8)
        axis.set_xlabel("logit: attack to the left, bona fide to the right")
        axis.margins(x=0.12)
        axis.grid(axis="x")

    return _svg.inline(7.4, 0.75 + 0.36 * rows, draw, "What each sensor adds to the logit")


def _bars(axis: Axes, made: Mapping[str, Any]) -> None:
    at = made["empty"]["logit"]
    names = ["no modality"]
    axis.plot([at], [0], "o", color=_svg.BEFORE, markersize=6)
    for row, (name, value) in enumerate(made["phi"].items(), 1):
        names.append(MODALITY_NAMES[Modality(name)])
        axis.barh(row, value, left=at, height=0.62, color=_svg.BONA_FIDE if value > 0 else _svg.ATTACK)
        axis.plot([at, at], [row - 1, row], color="#9aa0ab", linewidth=0.8)
        side = 1 if value >= 0 else -1
        axis.annotate(
            f"{value:+.2f}".replace("-", "−"), (at + value, row), (4 * side, 0), textcoords="offset points",
            ha="left" if side > 0 else "right", va="center", fontsize=8,
        )  # fmt: skip
        at += value
    names.append("verdict")
    axis.plot([at, at], [len(names) - 2, len(names) - 1], color="#9aa0ab", linewidth=0.8)
    axis.plot([at], [len(names) - 1], "D", color=_svg.INK, markersize=6)
    axis.set_yticks(range(len(names)), names)
    axis.tick_params(axis="y", length=0)
