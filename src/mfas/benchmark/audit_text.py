"""An audit as a person at a terminal wants it: findings first, then two tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_TABLES = (("auc", False), ("auc of physical cues (no limit)", True))
_READING = "AUC with + where bona fide have the larger values, - where attacks have"
_HIGHER = {"bona_fide": "+", "attack": "-", "": " "}


def brief(result: Mapping[str, Any]) -> dict[str, Any]:
    """Findings in sentences, the sensor table, and the AUC of every statistic by site."""
    faults = result["unreadable"]
    tables = [(title, _auc_cells(result, physical)) for title, physical in _TABLES]
    judged = any(len(cells) > 1 for _, cells in tables)
    nothing = "none" if judged else "none, for no AUC can be given"
    return {
        "findings": "\n".join(entry["sentence"] for entry in result["findings"]) or nothing,
        **({"integrity": _integrity(result["integrity"])} if result["integrity"] else {}),
        **({"one species only": _lines(result["by_species"])} if result["by_species"] else {}),
        **({"notes": "\n".join(result["notes"])} if result["notes"] else {}),
        "captures": result["captures"],
        "unreadable": "\n".join([str(faults["count"]), *faults["files"][:5]]),
        "sensors": grid(sensor_cells(result)),
        **{title: grid(cells) for title, cells in tables if len(cells) > 1},
        **({"reading": _READING} if judged else {"constants": result["constants"]}),
        "page": result["page"],
    }


def sensor_cells(result: Mapping[str, Any]) -> list[list[str]]:
    """Header and rows of the sensor table, turned: one line per figure, one column per site or reference."""
    rows = [*result["sensors"], *result["references"]]
    head = ["", *(row["name"] for row in rows)]
    return [head] + [
        [title, *(_span(row["figures"][name]) for row in rows)] for name, title in result["figures"].items()
    ]


def _integrity(entries: Sequence[Mapping[str, Any]]) -> str:
    examples = [f" (such as {entry['examples'][0]})" if entry["examples"] else "" for entry in entries]
    return "\n".join(f"{e['check']}: {e['sentence']}{more}" for e, more in zip(entries, examples, strict=True))


def _lines(entries: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(f"{e['site']}: {e['statistic']} against {e['species']}, AUC {e['auc']:.2f}" for e in entries)


def _auc_cells(result: Mapping[str, Any], physical: bool) -> list[list[str]]:
    """Only statistics that have an AUC somewhere."""
    sites = [row["name"] for row in result["sensors"]]
    rows = [
        [item["name"], *(_auc(item["sites"][site]) for site in sites)]
        for item in result["statistics"]
        if item["physical"] == physical and any(cell["auc"] is not None for cell in item["sites"].values())
    ]
    return [["", *sites], *rows]


def _auc(cell: Mapping[str, Any]) -> str:
    return "-" if cell["auc"] is None else f"{cell['auc']:.2f}{_HIGHER[cell['higher']]}"


def _span(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return "-"
    span = "" if figure["low"] is None else f"[{_number(figure['low'])}, {_number(figure['high'])}]"
    return " ".join(part for part in (_number(figure["median"]), span) if part)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def grid(rows: list[list[str]]) -> str:
    """Columns of equal width, two spaces between."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                     for row in rows)  # fmt: skip
