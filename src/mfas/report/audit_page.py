"""The page of ``mfas data audit``: shortcuts between the classes, and what the sensors measure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mfas._files import write_text
from mfas.report import _text, tables
from mfas.report._render import render
from mfas.report.tables import Cell, Row

_NEAR = 0.05
"""AUC this much below the limit is shaded too."""
_LARGER = {"bona_fide": "bona fide larger", "attack": "attacks larger", "": ""}


def write_audit(result: Mapping[str, Any], path: Path, *, command: str = "") -> None:
    """Write the page atomically. ``result`` is what stands in ``audit.json``."""
    write_text(path, build_audit(result, command=command))


def build_audit(result: Mapping[str, Any], *, command: str = "") -> str:
    """The page as text; the same result gives the same bytes."""
    return render(
        "audit.html.j2",
        result=result,
        name=Path(result["manifest"]).name,
        findings=[entry["sentence"] for entry in result["findings"]],
        by_species=[entry["sentence"] for entry in result["by_species"]],
        limit=_text.decimal(result["limit"], 2),
        figures=list(result["figures"].values()),
        sensors=[_sensor_row(row, result["figures"], real=False) for row in result["sensors"]]
        + [_sensor_row(row, result["figures"], real=True) for row in result["references"]],
        sites=list(_sites(result)),
        constants=[(site, tables.settings(found)) for site, found in result["constants"].items() if found],
        command=command,
        environment=tables.settings(result["environment"]),
    )


def _sensor_row(row: Mapping[str, Any], figures: Mapping[str, str], *, real: bool) -> Row:
    cells = []
    for name in figures:
        figure = row["figures"][name] or {"median": None, "low": None, "high": None}
        span = "" if figure["low"] is None else f"{_number(figure['low'])}{_text.DASH}{_number(figure['high'])}"
        cells.append(Cell(_number(figure["median"]), span))
    sub = row["over"] if real else f"{row['captures']} {row['over']}"
    return Row(row["name"], sub, tuple(cells), baseline=real)


def _sites(result: Mapping[str, Any]) -> Iterator[tuple[str, list[str], list[Row], list[Row]]]:
    """Site, its species, rows of statistics with a limit, rows of physical cues; sites without any AUC are left out."""
    for site in (row["name"] for row in result["sensors"]):
        cells = [(item, item["sites"][site]) for item in result["statistics"]]
        if all(cell["auc"] is None for _, cell in cells):
            continue
        cells.sort(key=lambda pair: -(pair[1]["auc"] or 0.0))
        species = list(cells[0][1]["species"])
        rows = [[_row(i, c, species, result["limit"]) for i, c in cells if i["physical"] == p] for p in (False, True)]
        yield site, [_text.plain(name) for name in species], rows[0], rows[1]


def _row(item: Mapping[str, Any], cell: Mapping[str, Any], species: list[str], limit: float) -> Row:
    limit = 2.0 if item["physical"] else limit
    unit = f", {item['unit']}" if item["unit"] else ""
    cells = [_auc(cell, limit), *(_auc(cell["species"][name], limit) for name in species)]
    medians = [Cell(_number(cell[f"median_{name}"])) for name in ("bona_fide", "attack")]
    return Row(item["name"], f"{item['meaning']}{unit}", (*cells, *medians))


def _auc(cell: Mapping[str, Any], limit: float) -> Cell:
    if cell["auc"] is None:
        return Cell(_text.DASH, cell["reason"])
    tone = "hot" if cell["auc"] > limit else "warm" if cell["auc"] > limit - _NEAR else ""
    return Cell(_text.decimal(cell["auc"], 2), _LARGER[cell["higher"]], tone=tone)


def _number(value: float | None) -> str:
    if value is None:
        return _text.DASH
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
