"""Figures of a bench: mean differences with intervals (a forest), and error against cost with its Pareto front."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from mfas.report import _svg
from mfas.report.bench_data import CostPoint, Forest, Pareto


def forest(found: Forest) -> str:
    """One row per method as inline SVG; left of the line = fewer errors."""
    return _svg.inline(*_forest_size(found), _forest(found), f"Mean difference of HTER, {found.title}")


def pareto(found: Pareto) -> str:
    """One point per method as inline SVG; the line joins those that no other beats in both error and cost."""
    return _svg.inline(*_PARETO_SIZE, _pareto(found), f"HTER against cost, {found.title}")


def write_forest(found: Forest, stem: Path) -> None:
    """Write ``STEM.svg`` and ``STEM.png``."""
    _svg.write(stem, *_forest_size(found), _forest(found))


def write_pareto(found: Pareto, stem: Path) -> None:
    """Write ``STEM.svg`` and ``STEM.png``."""
    _svg.write(stem, *_PARETO_SIZE, _pareto(found))


def front(points: Sequence[CostPoint]) -> list[CostPoint]:
    """Points that no other beats: by rising cost, each with a lower error than all that are cheaper.

    >>> [p.name for p in front([CostPoint("a", 1.0, 0.3), CostPoint("b", 2.0, 0.4), CostPoint("c", 3.0, 0.1)])]
    ['a', 'c']
    """
    kept: list[CostPoint] = []
    for point in sorted(points, key=lambda p: (p.cost, p.hter)):
        if not kept or point.hter < kept[-1].hter:
            kept.append(point)
    return kept


_PARETO_SIZE = (5.8, 3.6)


def _forest_size(found: Forest) -> tuple[float, float]:
    return 6.4, 0.9 + 0.32 * len(found.rows)


def _forest(found: Forest) -> Callable[[Figure], None]:
    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        axis.axvline(0.0, color=_svg.BEFORE, linewidth=1.0)
        for place, row in enumerate(found.rows):
            if row.low is not None and row.high is not None:
                axis.plot([row.low, row.high], [place, place], color=_svg.AFTER[0], linewidth=1.6)
            axis.plot([row.difference], [place], "D", color=_svg.AFTER[0], markersize=5.5)
            axis.annotate(
                " / ".join(map(str, row.counts)), (1.02, place), xycoords=("axes fraction", "data"),
                va="center", fontsize=8, annotation_clip=False,
            )  # fmt: skip
        axis.set_yticks(range(len(found.rows)), [row.name for row in found.rows])
        axis.tick_params(axis="y", labelsize=9, length=0)
        axis.set_ylim(len(found.rows) - 0.4, -0.6)
        axis.set_xlabel(f"HTER minus that of {found.against}, percentage points (95 % over people)")
        axis.set_title("wins / ties / losses", loc="right", fontsize=8, fontweight="normal")
        axis.grid(axis="x")
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:+.3g}" if value else "0"))

    return draw


def _pareto(found: Pareto) -> Callable[[Figure], None]:
    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        best = front(found.points)
        axis.plot([p.cost for p in best], [p.hter for p in best], color=_svg.FAINT, linewidth=2.0, zorder=1)
        for point in found.points:
            axis.plot([point.cost], [point.hter], "o", color=_svg.AFTER[0 if point in best else 1], markersize=6)
            _label(axis, point)
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_xlabel("time per capture over a plain prediction")
        axis.set_ylabel("HTER, mean")
        axis.margins(x=0.18, y=0.12)
        axis.grid()
        _svg.percent_axis(axis, "y", 1)

    return draw


def _label(axis: Axes, point: CostPoint) -> None:
    memory = "" if not point.state_mib else f" ({point.state_mib:.2g} MiB)"
    axis.annotate(
        f"{point.name}{memory}", (point.cost, point.hter), xytext=(6, 4), textcoords="offset points", fontsize=8
    )
