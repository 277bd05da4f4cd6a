"""The timeline of one run: what lowered the weight, what was accepted, what happened, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mfas.metrics import moving_rates
from mfas.metrics._check import Array
from mfas.report import _svg, _text
from mfas.report.data import StreamData, StreamErrors
from mfas.report.timeline import SIGNALS, binned, draw_accuracy, draw_labels, reason, seen_of, series, verdicts

_MOST_TICKS = 400
"""Ticks drawn per row of events: more than the page has room for."""


def figure(data: StreamData) -> str:
    """All panels over captures seen; panels without data are left out."""
    steps = data.timeline.steps
    seen = seen_of(steps)
    rows = event_rows(steps)
    known = any(step.get("pseudo_label_total") for step in steps)
    moved = np.isfinite(series(steps, "drift")).any()
    panels: list[tuple[float, str]] = [(0.8, "weight"), (0.8, "pull"), (0.95, "labels")]
    panels += [(0.7, "accuracy")] if known else []
    panels += [(0.24 * len(rows) + 0.15, "events")]
    panels += [(0.6, "drift")] if moved else []
    panels += [(0.85, name) for name in ("hter", "bpcer", "apcer")] if data.errors is not None else []

    def draw(canvas: Figure) -> None:
        heights = [height for height, _ in panels]
        axes = canvas.subplots(len(panels), 1, sharex=True, height_ratios=heights, squeeze=False).ravel()
        for axis, (_, name) in zip(axes, panels, strict=True):
            if name == "weight":
                _weight(axis, seen, steps)
            elif name == "pull":
                _pull(axis, seen, data)
            elif name == "labels":
                _labels(axis, seen, steps)
            elif name == "accuracy":
                draw_accuracy(axis, seen, steps)
            elif name == "events":
                _events(axis, seen, rows)
            elif name == "drift":
                _drift(axis, seen, steps)
            elif data.errors is not None:
                _errors(axis, data.errors, name)
        axes[-1].set_xlabel("captures seen")
        axes[-1].set_xlim(left=0)
        # Rows of events have long names: they would push every other label away from its axis.
        canvas.align_ylabels([axis for axis, (_, name) in zip(axes, panels, strict=True) if name != "events"])

    return _svg.inline(10.2, 0.8 + 1.25 * sum(height for height, _ in panels), draw, "Timeline of the stream")


def event_rows(steps: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, list[int]]]:
    """Name, kind (``update``, ``skip``, ``guard``) and steps of every row of the event panel, updates first."""
    rows: dict[tuple[str, str], list[int]] = {("update", "update"): []}
    for index, step in enumerate(steps):
        if step.get("updated"):
            rows["update", "update"].append(index)
        elif reason(step):
            rows.setdefault((f"skipped: {reason(step)}", "skip"), []).append(index)
    for index, step in enumerate(steps):
        for verdict in verdicts(step):
            rows.setdefault((f"guard: {verdict}", "guard"), []).append(index)
    return [(name, kind, found) for (name, kind), found in rows.items()]


def _weight(axis: Axes, seen: Array, steps: Sequence[Mapping[str, Any]]) -> None:
    axis.plot(*binned(seen, series(steps, "loss_weight")), color=_svg.BONA_FIDE, linewidth=1.9)
    axis.set_ylabel("loss weight")
    axis.set_ylim(0, 1.05)
    axis.grid(axis="y")


def _pull(axis: Axes, seen: Array, data: StreamData) -> None:
    """Each signal times its strength: without memory the weight would be exp(-sum)."""
    for (name, dash), colour in zip(SIGNALS, _svg.AFTER[1:], strict=False):
        values = series(data.timeline.steps, name, "signals") * data.strengths.get(name, 1.0)
        if np.isfinite(values).any():
            axis.plot(*binned(seen, values), dash, color=colour, linewidth=1.4, label=_text.plain(name))
    axis.set_ylabel("pull on\nthe weight")
    axis.set_ylim(bottom=0)
    axis.margins(y=0.25)
    axis.grid(axis="y")
    axis.legend(loc="upper right", ncols=3, handlelength=2.2)


def _labels(axis: Axes, seen: Array, steps: Sequence[Mapping[str, Any]]) -> None:
    draw_labels(axis, seen, steps, ticks=False)
    x, queued = binned(seen, series(steps, "queued"), total=True)
    if np.isfinite(queued).any():
        edges = np.concatenate([[0.0], x])
        axis.stairs(np.nan_to_num(queued), edges, color=_svg.INK, linewidth=1.1, label="queued")
    axis.legend(loc="upper right", ncols=3, handlelength=1.2)


def _events(axis: Axes, seen: Array, rows: Sequence[tuple[str, str, list[int]]]) -> None:
    colours = {"update": _svg.AFTER[2], "skip": _svg.BEFORE, "guard": _svg.ATTACK}
    for height, (_, kind, found) in enumerate(rows):
        shown = found[:: -(-len(found) // _MOST_TICKS)] if found else []
        axis.plot(seen[shown], np.full(len(shown), height), "|", color=colours[kind], markersize=8, markeredgewidth=1.2)
    axis.set_yticks(range(len(rows)), [f"{name} ({len(found)})" for name, _, found in rows])
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.grid(axis="y")


def _drift(axis: Axes, seen: Array, steps: Sequence[Mapping[str, Any]]) -> None:
    axis.plot(*binned(seen, series(steps, "drift")), color=_svg.AFTER[3], linewidth=1.6)
    axis.set_ylim(bottom=0)
    axis.set_ylabel("drift")
    axis.grid(axis="y")


def _errors(axis: Axes, errors: StreamErrors, name: str) -> None:
    x = np.arange(1, errors.adapted.size + 1)
    runs = [(errors.adapted, _svg.AFTER[0], "-", "adapted")]
    if errors.source is not None:
        runs.insert(0, (errors.source, _svg.BEFORE, "--", "source"))
    for scores, colour, dash, label in runs:
        y = getattr(moving_rates(scores, errors.bona_fide, errors.threshold, errors.window), name)
        every = max(1, x.size // 600)
        axis.plot(x[::every], y[::every], dash, color=colour, linewidth=1.6, label=label)
    axis.set_ylabel(name.upper())
    axis.set_ylim(bottom=-0.01)
    axis.grid(axis="y")
    _svg.percent_axis(axis, "y", digits=int(axis.get_ylim()[1] < 0.1))
    if name == "hter":
        axis.legend(loc="upper right", ncols=2, title=f"over the last {errors.window} captures", title_fontsize=8)
