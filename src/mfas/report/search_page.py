"""The page of ``mfas audit search``: the easiest attack of each species, and what a search finds beside chance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mfas._files import write_text
from mfas.core import Modality
from mfas.report import _text, tables
from mfas.report._images import data_uri
from mfas.report._render import render
from mfas.report.tables import Cell, Row

_SIDE = 168
_HIDDEN = {"model", "delta", "out"}
"""Paths of the machine that made it do not belong on a page."""
HEAD = ("", "Random", "Search", "First accepted after", "Random, again", "Search, again")
"""Columns of `summary_row`, that of its head included."""


def write_search(result: Mapping[str, Any], folder: Path) -> None:
    """Write ``FOLDER/PAGE`` atomically; ``result`` is what stands in ``search.json``, its images lie in ``folder``."""
    write_text(folder / result["page"], build_search(result, folder))


def build_search(result: Mapping[str, Any], folder: Path) -> str:
    """The page as text; the same result and images give the same bytes. `ImageError` for an image that is not there."""
    rows = result["rows"]
    return render(
        "search.html.j2",
        result=result,
        lead=_lead(rows),
        notice=result.get("notice", ""),
        head=HEAD,
        rows=[summary_row(row) for row in rows],
        looked=any(row["rank_correlation"] is not None for row in rows),
        species=[_species(row, result["threshold"], folder) for row in rows],
        threshold=_text.decimal(result["threshold"]),
        sensors=_text.pattern(result["missing"]),
        environment=tables.settings(result["environment"]),
        config=tables.settings({k: v for k, v in result["config"].items() if k not in _HIDDEN}),
    )


def rates(found: Mapping[str, Any] | None) -> Cell:
    """A rate with its count and its exact interval; a dash for None."""
    if found is None:
        return Cell(_text.DASH)
    tone = "hot" if found["rate"] > 0.15 else "warm" if found["rate"] > 0.07 else ""
    return Cell(_text.percent(found["rate"]), f"{found['accepted']} of {found['count']}",
                _text.span(found["interval"]), tone)  # fmt: skip


def summary_row(row: Mapping[str, Any]) -> Row:
    """One species: what chance and what the search found, and what was left of it with other people."""
    first = " / ".join(_spent(row[name]["first_accepted"]) for name in ("random", "search"))
    again = [rates(row["repeats"][name]) for name in ("random", "search")]
    cells = (rates(row["random"]), rates(row["search"]), Cell(first, "random / search, renders"), *again)
    return Row(_text.plain(row["species"]), f"{row['budget']} renders, {row['scenes']} scenes", cells)


def _spent(cost: float | None) -> str:
    return "never" if cost is None else f"{cost:.0f}"


def _lead(rows: list[Mapping[str, Any]]) -> str:
    broken = [_text.plain(row["species"]) for row in rows if row["easiest"]["accepted"]]
    if not broken:
        return "No capture was accepted, neither by search nor by chance, within this budget. That bounds nothing."
    safe = [_text.plain(row["species"]) for row in rows if not row["easiest"]["accepted"]]
    rest = f" None was found of {_text.listing(safe)}." if safe else ""
    return f"Plausible attacks that the detector takes for a living face exist of {_text.listing(broken)}.{rest}"


def _species(row: Mapping[str, Any], threshold: float, folder: Path) -> dict[str, Any]:
    easiest = row["easiest"]
    named = ((m, easiest["images"].get(m.value)) for m in Modality)
    pictures = [
        (_text.MODALITY_NAMES[m], data_uri(folder / path, m, _SIDE) if path else "") for m, path in named
    ]  # fmt: skip
    return {
        "name": _text.plain(row["species"]),
        "pictures": pictures,
        "accepted": easiest["accepted"],
        "score": _text.decimal(easiest["score"]),
        "position": round(100 * easiest["score"], 1),
        "threshold": round(100 * threshold, 1),
        "by": easiest["by"],
        "people": f"{easiest['presenter']} shows {easiest['subject']}",
        "correlation": _text.decimal(row["rank_correlation"], 2),
        "parameters": [_parameter(item, easiest["values"]) for item in row["parameters"]],
    }


def _parameter(item: Mapping[str, Any], values: Mapping[str, float]) -> Row:
    unit = f" {item['unit']}" if item["unit"] else ""
    span = f"{item['low']:.4g} to {item['high']:.4g}{unit}"
    return Row(item["name"], item["meaning"], (Cell(f"{values[item['name']]:.4g}{unit}"), Cell(span)))
