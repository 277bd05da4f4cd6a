"""What adaptation did, step by step: the figure and the sentence under it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mfas.metrics._check import Array
from mfas.report import _svg, _text
from mfas.report.data import Timeline

_BINS = 120
SIGNALS = (("loss_jump", "--"), ("flip_rate", "-."), ("mean_uncertainty", ":"))
"""What lowers the loss weight, and how each is drawn."""


def figure(timeline: Timeline) -> str:
    """Loss weight and its signals; pseudo labels by class; their accuracy; all over captures seen."""
    steps = timeline.steps
    seen = seen_of(steps)
    known = any(step.get("pseudo_label_total") for step in steps)

    def draw(canvas: Figure) -> None:
        heights = [1.25, 1.0, 0.75] if known else [1.25, 1.0]
        axes = canvas.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False).ravel()
        draw_weights(axes[0], seen, steps)
        draw_labels(axes[1], seen, steps)
        if known:
            draw_accuracy(axes[2], seen, steps)
        axes[-1].set_xlabel("captures seen")
        canvas.align_ylabels(axes)

    return _svg.inline(6.0, 4.4 if known else 3.5, draw, f"Adaptation timeline, {_text.pattern(timeline.missing)}")


def sentence(timeline: Timeline) -> str:
    """Counts of what was accepted, how often it was right, and why steps learned nothing."""
    steps = timeline.steps
    seen = int(seen_of(steps)[-1]) if len(steps) else 0
    accepted = sum(int(step.get("accepted") or 0) for step in steps)
    genuine = sum(int(step.get("accepted_bona_fide") or 0) for step in steps)
    updates = sum(bool(step.get("updated")) for step in steps)
    parts = [
        f"{accepted} of {seen} captures became pseudo labels ({genuine} bona fide, {accepted - genuine} attack)"
        f"; {updates} of {len(steps)} steps changed the model."
    ]
    total = sum(int(step.get("pseudo_label_total") or 0) for step in steps)
    if total:
        right = sum(int(step.get("pseudo_label_correct") or 0) for step in steps)
        parts.append(f"{_text.percent(right / total)} of the accepted pseudo labels were right.")
    reasons = Counter(found for step in steps if (found := reason(step)))
    if reasons:
        parts.append(f"Steps without learning: {', '.join(f'{r} ({n})' for r, n in reasons.most_common())}.")
    guards = Counter(verdict for step in steps for verdict in verdicts(step))
    if guards:
        parts.append(f"Guard verdicts: {', '.join(f'{g} ({n})' for g, n in guards.most_common())}.")
    return " ".join(parts)


def guard_of(step: Mapping[str, Any]) -> str:
    """The guards' verdict in words; empty when they said nothing."""
    verdict = step.get("guard")
    if isinstance(verdict, Mapping):
        verdict = verdict.get("verdict")
    return _text.plain(str(verdict)) if verdict else ""


def reason(step: Mapping[str, Any]) -> str:
    """Why nothing was learnt, without figures; empty when something was, or when a guard has said so already."""
    words = short(str(step.get("skipped_reason") or ""))
    return "" if words in verdicts(step) else words


def verdicts(step: Mapping[str, Any]) -> list[str]:
    """What each guard said, without its figures."""
    return [short(part) for part in guard_of(step).split(";") if part.strip()]


def short(words: str) -> str:
    """The words before the figures.

    >>> short("rolled_back: BPCER 0.4 against 0.1")
    'rolled back'
    """
    return _text.plain(words.split(":", maxsplit=1)[0].strip())


def seen_of(steps: Sequence[Mapping[str, Any]]) -> Array:
    """Captures seen up to and including each step."""
    return np.asarray([float(step.get("seen") or index + 1) for index, step in enumerate(steps)])


def series(steps: Sequence[Mapping[str, Any]], key: str, inside: str = "") -> Array:
    """One figure of every step, NaN where it has none; ``inside`` names the mapping that holds it."""
    values = [((step.get(inside) or {}) if inside else step).get(key) for step in steps]
    return np.asarray([np.nan if value is None else float(value) for value in values])


def binned(seen: Array, values: Array, *, total: bool = False) -> tuple[Array, Array]:
    """Means (or sums) over at most `_BINS` equal runs of steps, so that a long stream stays a small figure."""
    size = -(-values.size // _BINS)
    parts = np.split(np.arange(values.size), np.arange(size, values.size, size))
    x = np.asarray([seen[part[-1]] for part in parts])
    filled = [values[part][np.isfinite(values[part])] for part in parts]
    y = [(part.sum() if total else part.mean()) if part.size else np.nan for part in filled]
    return x, np.asarray(y)


def draw_weights(axis: Axes, seen: Array, steps: Sequence[Mapping[str, Any]]) -> None:
    """The loss weight and the signals that lower it."""
    for (name, dash), colour in zip(SIGNALS, _svg.AFTER[1:], strict=False):
        values = series(steps, name, "signals")
        if np.isfinite(values).any():
            axis.plot(*binned(seen, values), dash, color=colour, linewidth=1.3, label=_text.plain(name))
    axis.plot(*binned(seen, series(steps, "loss_weight")), color=_svg.BONA_FIDE, linewidth=1.9, label="loss weight")
    axis.set_ylabel("loss weight\nand signals")
    axis.set_ylim(bottom=0)
    axis.grid(axis="y")
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4, columnspacing=1.2, handlelength=2.2)


def draw_labels(axis: Axes, seen: Array, steps: Sequence[Mapping[str, Any]], *, ticks: bool = True) -> None:
    """Pseudo labels accepted, by class; ``ticks`` where nothing was learnt."""
    x, genuine = binned(seen, series(steps, "accepted_bona_fide"), total=True)
    _, fake = binned(seen, series(steps, "accepted_attack"), total=True)
    genuine, fake = np.nan_to_num(genuine), np.nan_to_num(fake)
    edges = np.concatenate([[0.0], x])
    width = np.diff(edges)
    axis.bar(edges[:-1], genuine, width, align="edge", color=_svg.BONA_FIDE, alpha=0.8, label="bona fide")
    axis.bar(edges[:-1], fake, width, align="edge", bottom=genuine, color=_svg.ATTACK, alpha=0.8, label="attack")
    idle = [s for s, step in zip(seen, steps, strict=True) if not step.get("updated")]
    if idle and ticks:
        axis.plot(idle[:: max(1, len(idle) // 200)], np.zeros(len(idle[:: max(1, len(idle) // 200)])), "|",
                  color=_svg.INK, markersize=5, clip_on=False, label="no update")  # fmt: skip
    axis.set_ylabel("pseudo labels\naccepted")
    axis.margins(y=0.3)
    axis.legend(loc="upper right", ncols=3, handlelength=1.2)


def draw_accuracy(axis: Axes, seen: Array, steps: Sequence[Mapping[str, Any]]) -> None:
    """Share of right pseudo labels so far."""
    right = np.nan_to_num(series(steps, "pseudo_label_correct")).cumsum()
    total = np.nan_to_num(series(steps, "pseudo_label_total")).cumsum()
    share = np.divide(right, total, out=np.full(total.size, np.nan), where=total > 0)
    axis.plot(*binned(seen, share), color=_svg.AFTER[2], linewidth=1.7)
    axis.set_ylim(min(0.5, float(np.nanmin(share)) - 0.03), 1.02)
    axis.set_ylabel("right so far")
    axis.grid(axis="y")
    _svg.percent_axis(axis, "y")
