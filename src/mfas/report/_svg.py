"""The common look of figures, and their way into the page as inline SVG text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from mfas._files import atomic_path

# Okabe and Ito's set: told apart by people with any common colour vision deficiency. Line styles differ as well.
BONA_FIDE = "#0072B2"
ATTACK = "#D55E00"
BEFORE = "#767b85"
AFTER = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
INK = "#20242c"
FAINT = "#d9dce2"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mfas",
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.edgecolor": "#9aa0ab",
    "axes.linewidth": 0.8,
    "axes.labelcolor": INK,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": "#565c68",
    "ytick.color": "#565c68",
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "grid.color": "#e7e9ee",
    "grid.linewidth": 0.7,
    "path.simplify": True,
    "path.simplify_threshold": 0.3,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw with the page's look, whatever the user's matplotlib configuration says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def inline(width: float, height: float, draw: Callable[[Figure], None], title: str) -> str:
    """Run ``draw`` on a figure of ``width`` x ``height`` inches; return ``<svg>`` text, ``title`` for screen readers.

    Text stays text (selectable, in the page's font); the size adapts to the column. The same data give the same bytes.
    """
    with style():
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        buffer = StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Coordinates in points: two decimals are finer than any screen.
    text = re.sub(r"(\d+\.\d{2})\d+", r"\1", text)
    head = f'<svg role="img" aria-label="{_escape(title)}" style="max-width:{width * 96:.0f}px" '
    return re.sub(r"<svg (?=[^>]*>)", head, text, count=1).replace(
        f'width="{width * 72:g}pt" height="{height * 72:g}pt"', ""
    )


def write(stem: Path, width: float, height: float, draw: Callable[[Figure], None]) -> None:
    """Run ``draw`` as `inline` does and write ``STEM.svg`` and ``STEM.png``, on white."""
    with style():
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        for suffix, options in ((".svg", {"metadata": {"Date": None, "Creator": None}}), (".png", {"dpi": 160})):
            with atomic_path(stem.with_name(stem.name + suffix)) as temporary:
                figure.savefig(temporary, format=suffix[1:], facecolor="white", **options)


def percent_axis(axis: Axes, which: str, digits: int = 0) -> None:
    """Fractions shown as per cent along ``x`` or ``y``."""
    target = axis.xaxis if which == "x" else axis.yaxis
    target.set_major_formatter(PercentFormatter(1.0, decimals=digits))


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
