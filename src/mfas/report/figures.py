"""Figures over scores: before and after per pattern, DET curves, histograms, reliability."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import norm

from mfas import metrics
from mfas.metrics._check import Array
from mfas.report import _svg, _text
from mfas.report.compare import Pair
from mfas.report.data import SOURCE, ScoreGroup

_TICKS = (0.001, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99)
_BINS = np.linspace(0.0, 1.0, 41)
_RANGE = (0.004, 0.85)
"""Rates that a DET panel shows."""


def before_after(pairs: Sequence[Pair]) -> str:
    """HTER per pattern, before and after, with intervals: one row per pattern."""

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        for row, pair in enumerate(pairs):
            axis.plot([pair.before, pair.after], [row, row], color="#b9bec8", linewidth=2.2, zorder=1)
            for value, interval, colour, shift, marker in (
                (pair.before, pair.before_interval, _svg.BEFORE, -0.16, "o"),
                (pair.after, pair.after_interval, _svg.AFTER[0], 0.16, "D"),
            ):
                if interval:
                    axis.plot([interval["low"], interval["high"]], [row + shift] * 2, color=colour, linewidth=1.4)
                axis.plot([value], [row], marker=marker, color=colour, markersize=6.5, zorder=3)
        axis.plot([], [], "o-", color=_svg.BEFORE, label="before adaptation")
        axis.plot([], [], "D-", color=_svg.AFTER[0], label="after adaptation")
        axis.set_yticks(range(len(pairs)), [_text.pattern(pair.missing) for pair in pairs])
        axis.tick_params(axis="y", labelsize=9, length=0)
        axis.set_ylim(len(pairs) - 0.4, -0.6)
        axis.set_xlim(left=0.0)
        axis.set_xlabel("half total error rate (lines: 95 % intervals)")
        axis.grid(axis="x")
        _svg.percent_axis(axis, "x")
        figure.legend(loc="outside upper left", ncols=2)

    return _svg.inline(5.8, 0.95 + 0.46 * len(pairs), draw, "Half total error rate before and after adaptation")


def det_grid(groups: Sequence[ScoreGroup], columns: int = 4) -> str:
    """DET curves, one panel per missing pattern, all methods of one target together."""
    patterns = list(dict.fromkeys(group.missing for group in groups))
    columns = min(columns, len(patterns))
    rows = -(-len(patterns) // columns)
    methods = list(dict.fromkeys(group.method for group in groups))

    def draw(figure: Figure) -> None:
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
        for axis, missing in zip(axes, patterns, strict=False):
            for group in groups:
                if group.missing == missing:
                    colour, dash = method_look(group.method, methods)
                    _det_line(axis, group, colour, dash)
            _det_axes(axis, _text.pattern(missing))
        for axis in axes[len(patterns) :]:
            axis.set_visible(False)
        for method in methods:
            colour, dash = method_look(method, methods)
            axes[0].plot([], [], dash, color=colour, label=method_label(method))
        figure.legend(loc="outside upper left", ncols=4)
        figure.supxlabel("APCER, attacks pooled", fontsize=9)
        figure.supylabel("BPCER", fontsize=9)

    return _svg.inline(2.35 * columns + 0.7, 2.3 * rows + 0.7, draw, "DET curves by missing pattern")


def det_species(group: ScoreGroup) -> str:
    """One DET curve per species and one over all, with the operating point."""

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        _det_line(axis, group, _svg.INK, "-", "all attacks")
        styles = ("-", "--", "-.", ":")
        for index, (name, values) in enumerate(sorted(group.attacks.items())):
            one = ScoreGroup(group.name, "", group.method, group.bona_fide, {name: values})
            colour = _svg.AFTER[index % len(_svg.AFTER)]
            _det_line(axis, one, colour, styles[index // len(_svg.AFTER) % 4], _text.plain(name), width=1.2)
        _det_axes(axis, "")
        axis.set_xlabel("APCER")
        axis.set_ylabel("BPCER")
        figure.legend(loc="outside right upper")

    return _svg.inline(6.4, 4.2, draw, "DET curves by species")


def histograms(groups: Sequence[ScoreGroup]) -> str:
    """Scores of bona fide and of each species, one column per method, with the threshold and the error of each row."""
    species = sorted({name for group in groups for name in group.attacks})
    rows = ["", *species]

    def draw(figure: Figure) -> None:
        axes = figure.subplots(len(rows), len(groups), squeeze=False, sharex=True)
        for column, group in enumerate(groups):
            axes[0, column].set_title(method_label(group.method))
            for row, name in enumerate(rows):
                values = group.attacks.get(name, np.empty(0)) if name else group.bona_fide
                _histogram(axes[row, column], np.asarray(values), group.threshold, bona_fide=not name)
            for row, name in enumerate(rows if column == 0 else []):
                axes[row, 0].set_ylabel(
                    _text.plain(name) or "bona fide", rotation=0, ha="right", va="center", fontsize=8.5
                )
            for axis in axes[:-1, column]:
                axis.tick_params(axis="x", length=0)
            axes[-1, column].set_xlabel("score (higher = bona fide)")

    return _svg.inline(1.2 + 2.6 * len(groups), 0.75 + 0.44 * len(rows), draw, "Score histograms")


def reliability(group: ScoreGroup) -> str:
    """Bona fide share against score, with the number of presentations per bin."""
    bins = [b for b in metrics.reliability_bins(group.bona_fide, group.attacks) if b.count]

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        axis.plot([0, 1], [0, 1], color=_svg.FAINT, linewidth=1.2)
        x, y = [b.mean_score or 0.0 for b in bins], [b.bona_fide_share or 0.0 for b in bins]
        axis.plot(x, y, "o-", color=_svg.AFTER[0])
        for b in bins:
            axis.annotate(
                str(b.count), (b.mean_score or 0.0, b.bona_fide_share or 0.0), (0, 7), textcoords="offset points",
                ha="center", fontsize=7.5, color="#565c68",
            )  # fmt: skip
        axis.set(xlim=(-0.03, 1.03), ylim=(-0.05, 1.12), xlabel="mean score of the bin", ylabel="bona fide share")
        axis.grid()

    return _svg.inline(4.2, 3.4, draw, "Reliability diagram")


def method_look(method: str, methods: Sequence[str]) -> tuple[str, str]:
    """Colour and line style of a method: the unadapted model is always grey and dashed."""
    if method == SOURCE:
        return _svg.BEFORE, "--"
    others = [name for name in methods if name != SOURCE]
    return _svg.AFTER[others.index(method) % len(_svg.AFTER)], "-"


def method_label(method: str) -> str:
    """How a method is called on the page."""
    return "source (no adaptation)" if method == SOURCE else method


def _det_line(
    axis: Axes, group: ScoreGroup, colour: str, dash: str, label: str | None = None, width: float = 1.6
) -> None:
    if not len(group.bona_fide) or not sum(len(v) for v in group.attacks.values()):
        return
    points = metrics.det(group.bona_fide, group.attacks)
    x, y = _corners(points.apcer, points.bpcer)
    axis.plot(_deviate(x), _deviate(y), dash, color=colour, linewidth=width, label=label)
    if group.threshold is not None and width > 1.5:
        at = metrics.apcer(group.attacks, group.threshold), metrics.bpcer(group.bona_fide, group.threshold)
        left, up = _deviate(np.clip(np.array(at), *_RANGE))
        axis.plot([left], [up], "o", color=colour, markersize=5, clip_on=False, zorder=4)


def _det_axes(axis: Axes, title: str) -> None:
    where = norm.ppf(_TICKS)
    labels = [f"{100 * t:g}" for t in _TICKS]
    low, high = norm.ppf(_RANGE)
    axis.plot([low, high], [low, high], color=_svg.FAINT, linewidth=0.9, zorder=0)
    axis.set_xticks(where, labels)
    axis.set_yticks(where, labels)
    axis.set(xlim=(low, high), ylim=(low, high))
    axis.set_aspect("equal")
    axis.grid()
    if title:
        axis.set_title(title)


def _deviate(rates: Array) -> Array:
    return np.asarray(norm.ppf(np.clip(rates, 1e-5, 1 - 1e-5)))


def _corners(x: Array, y: Array) -> tuple[Array, Array]:
    """Drop points inside horizontal and vertical runs of a staircase; at most some 600 remain."""
    inner = np.ones(x.size, dtype=bool)
    inner[1:-1] = ~(((x[1:-1] == x[:-2]) & (x[1:-1] == x[2:])) | ((y[1:-1] == y[:-2]) & (y[1:-1] == y[2:])))
    kept = np.flatnonzero(inner)
    kept = kept[np.unique(np.linspace(0, kept.size - 1, min(kept.size, 600)).astype(int))]
    return x[kept], y[kept]


def _histogram(axis: Axes, values: Array, threshold: float | None, *, bona_fide: bool) -> None:
    colour = _svg.BONA_FIDE if bona_fide else _svg.ATTACK
    axis.set(xlim=(0, 1), ylim=(0, 1.08), yticks=[])
    axis.spines["left"].set_visible(False)
    if not values.size:
        axis.text(0.5, 0.4, "no scores", ha="center", color="#565c68", fontsize=8)
        return
    counts, _ = np.histogram(values, _BINS)
    axis.stairs(counts / counts.max(), _BINS, fill=True, color=colour, alpha=0.75)
    if threshold is None:
        return
    wrong = np.mean(values < threshold) if bona_fide else np.mean(values >= threshold)
    axis.axvline(threshold, color=_svg.INK, linewidth=1.0)
    axis.annotate(
        f"{_text.percent(float(wrong))}\n{'rejected' if bona_fide else 'accepted'}",
        (1.02, 0.5), xycoords="axes fraction", ha="left", va="center", fontsize=7.5, linespacing=1.1,
    )  # fmt: skip
