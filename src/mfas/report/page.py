"""The report of a demo or benchmark: one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mfas._files import write_text
from mfas.core import MODALITIES, Outcome
from mfas.report import _text, figures, narrative, pseudo_labels, tables, timeline
from mfas.report._images import data_uri
from mfas.report._render import render
from mfas.report.compare import Pair, pairs, pattern_order
from mfas.report.data import SOURCE, ReportData, ScoreGroup, Tile

_METHODS_SHOWN = 3
"""Histogram columns per row: more do not fit a printed page."""


def write_report(data: ReportData, path: Path) -> None:
    """Write the page atomically to ``path``. Nothing on it refers to another file or host.

    Raises `ImageError` if a tile cannot be read.
    """
    write_text(path, build_report(data))


def build_report(data: ReportData) -> str:
    """The page as text; the same data give the same bytes."""
    compared = pairs(data)
    one_site = len({t.name for t in data.timelines}) == 1
    streams = [
        (_title("" if one_site else t.name, t.missing, t.method), t)
        for t in sorted(data.timelines, key=lambda t: (t.name, pattern_order(t.missing), t.method))
        if t.steps
    ]
    return render(
        "report.html.j2",
        data=data,
        summary=narrative.summary(data, compared),
        headline=[_headline(group) for group in narrative.grouped(compared)],
        comparisons=[_comparison(group) for group in narrative.grouped(compared)],
        iso=tables.iso_tables(data.runs),
        at_threshold=[name for _, name in tables.AT_THRESHOLD],
        own_threshold=[name for _, name in tables.OWN_THRESHOLD],
        facts=tables.facts(data.runs),
        notes=tables.run_notes(data.runs),
        dets=[(name, figures.det_grid(groups)) for name, groups in _by_name(data.score_groups)],
        histograms=_histograms(data.score_groups),
        timelines=[(title, timeline.figure(t), timeline.sentence(t)) for title, t in streams],
        claims=[
            (title, pseudo_labels.figure(t.pseudo_labels, t.missing), pseudo_labels.sentence(t.pseudo_labels))
            for title, t in streams
            if t.pseudo_labels is not None and pseudo_labels.has_claims(t.pseudo_labels)
        ],
        tiles=[_tile(tile) for tile in data.tiles],
        tile_errors=sum(bool(tile.error) for tile in data.tiles),
        environment=tables.settings(data.environment),
        config=tables.settings(data.config),
    )


def _headline(group: list[Pair]) -> dict[str, str]:
    before, after, gap = narrative.mean_change(group)
    return {
        "target": _text.plain(group[0].target),
        "method": group[0].method,
        "before": _text.percent(before),
        "after": _text.percent(after),
        "gap": _text.points(gap),
        "tone": "better" if gap < 0 else "worse" if gap > 0 else "",
        "patterns": str(len(group)),
    }


def _comparison(group: list[Pair]) -> dict[str, Any]:
    return {
        "title": f"{_text.plain(group[0].target)}: {group[0].method}",
        "rows": tables.comparison(group),
        "figure": figures.before_after(group),
        "seeds": group[0].seeds,
        "subjects": group[0].subjects,
        "paired": any(pair.low is not None for pair in group),
    }


def _by_name(groups: Sequence[ScoreGroup]) -> list[tuple[str, list[ScoreGroup]]]:
    found: dict[str, list[ScoreGroup]] = {}
    for group in sorted(groups, key=lambda g: (g.name, pattern_order(g.missing), g.method != SOURCE, g.method)):
        found.setdefault(group.name, []).append(group)
    return list(found.items())


def _histograms(groups: Sequence[ScoreGroup]) -> list[tuple[str, str]]:
    shown = []
    one = len({group.name for group in groups}) == 1
    for name, members in _by_name(groups):
        for missing in dict.fromkeys(group.missing for group in members):
            chosen = [group for group in members if group.missing == missing][:_METHODS_SHOWN]
            shown.append((_title("" if one else name, missing), figures.histograms(chosen)))
    return shown


def _title(name: str, missing: str, method: str = "") -> str:
    parts = [_text.pattern(missing), _text.plain(name), method]
    return " · ".join(part for part in parts if part)


def _tile(tile: Tile) -> dict[str, Any]:
    return {
        "images": [
            (_text.MODALITY_NAMES[m], data_uri(tile.images[m], m, blurred=tile.blurred) if m in tile.images else "")
            for m in MODALITIES
        ],
        "truth": "bona fide" if tile.label == "bona_fide" else _text.plain(tile.species or "attack"),
        "bona_fide": tile.label == "bona_fide",
        "outcome": tile.outcome,
        "tone": "bad" if tile.error else "soft" if tile.decision == Outcome.NON_RESPONSE else "ok",
        "error": tile.error,
        "score": _text.decimal(tile.score, 2),
        "position": None if tile.score is None else f"{100 * tile.score:.1f}",
        "threshold": None if tile.threshold is None else f"{100 * tile.threshold:.1f}",
        "sensors": _text.pattern(tile.missing),
        "note": tile.note,
    }
