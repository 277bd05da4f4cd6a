"""What pseudo labels claimed against how often they were right: the figure and the sentence under it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from mfas.core import Label
from mfas.report import _svg, _text

_LOOK = {Label.BONA_FIDE: (_svg.BONA_FIDE, "o", -0.004), Label.ATTACK: (_svg.ATTACK, "D", 0.004)}


def has_claims(found: Mapping[str, Any] | None) -> bool:
    """Whether there is anything to draw."""
    return found is not None and any(part["claims"] for part in found["by_class"].values())


def figure(found: Mapping[str, Any], missing: str = "") -> str:
    """Reliability diagram: on or above the diagonal a claim was kept. ``found`` as of `judge_pseudo_labels`."""
    bins = [b for part in found["by_class"].values() for b in part["claims"]]
    left = min(min(b["claimed"], b["interval"]["low"]) for b in bins)
    left = max(0.0, min(0.8, left) - 0.05)

    def draw(canvas: Figure) -> None:
        axis = canvas.subplots()
        axis.plot([left, 1], [left, 1], color="#9aa0ab", linewidth=1.2)
        axis.fill_between([left, 1], [left, 1], left, color=_svg.FAINT, alpha=0.45, linewidth=0)
        for label, (colour, marker, shift) in _LOOK.items():
            rows = found["by_class"][label.value]["claims"]
            for row in rows:
                x, span = row["claimed"] + shift, row["interval"]
                axis.plot([x, x], [span["low"], span["high"]], color=colour, linewidth=1.3)
                axis.plot([x], [row["right"]], marker, color=colour, markersize=6)
                axis.annotate(
                    str(row["count"]), (x, row["right"]), (7 if shift > 0 else -7, 4), textcoords="offset points",
                    ha="left" if shift > 0 else "right", fontsize=7.5, color=colour,
                )  # fmt: skip
            if rows:
                axis.plot([], [], marker, color=colour, label=f"accepted as {_text.plain(label.value)}")
        axis.set(xlim=(left, 1.03), ylim=(left, 1.02), xlabel="claimed: right at least this often", ylabel="right")
        axis.grid()
        for which in "xy":
            _svg.percent_axis(axis, which)
        canvas.legend(loc="outside upper left", ncols=2)

    return _svg.inline(4.6, 3.8, draw, f"Pseudo labels, claimed against right, {_text.pattern(missing)}")


def sentence(found: Mapping[str, Any]) -> str:
    """Accuracy by class, and whether the claims were kept."""
    parts = []
    for label in Label:
        own = found["by_class"][label.value]
        if own["accepted"]:
            parts.append(
                f"{own['right']} of {own['accepted']} accepted as {_text.plain(label.value)} were right "
                f"({_text.percent(own['accuracy'])}, 95 %: {_text.span(own['interval'])})."
            )
    bins = [b for own in found["by_class"].values() for b in own["claims"]]
    broken = [b for b in bins if b["interval"]["high"] < b["claimed"]]
    below = [b for b in bins if b["right"] < b["claimed"] and b not in broken]
    silent = sum(own["without_claim"] for own in found["by_class"].values())
    if broken:
        parts.append(f"In {len(broken)} of {len(bins)} bins the claim was broken beyond chance.")
    elif below:
        parts.append(f"In {len(below)} of {len(bins)} bins fewer were right than claimed, within the interval.")
    elif bins:
        parts.append("Every claim was kept.")
    if silent:
        parts.append(f"{silent} came without a claim.")
    return " ".join(parts)
