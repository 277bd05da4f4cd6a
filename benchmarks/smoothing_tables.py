"""The tables of `benchmarks/smoothing.py`: means over both directions and all seeds, in per cent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Row = dict[str, Any]
DEFAULT = ("standard", 0.05)
_MODELS: tuple[tuple[str, str, str], ...] = (
    ("HTER", "in_site", "hter"),
    ("HTER", "cross_site", "hter"),
    ("HTER, seven patterns", "in_site", "hter_patterns"),
    ("HTER, seven patterns", "cross_site", "hter_patterns"),
    ("AUC", "cross_site", "auc"),
    ("HTER attacked", "in_site", "attacked.hter"),
    ("HTER attacked", "cross_site", "attacked.hter"),
    ("HTER transferred", "cross_site", "transferred.hter"),
    ("ECE", "in_site", "ece"),
    ("ECE", "cross_site", "ece"),
    ("over-confident", "in_site", "overconfident"),
    ("over-confident", "cross_site", "overconfident"),
    ("over-confident attacked", "cross_site", "attacked.overconfident"),
)


def tables(rows: Sequence[Row]) -> str:
    """Markdown: models, differences to the default with the smallest and largest of any pair, limits, streams."""
    models = [row for row in rows if row["part"] == "model"]
    streams = [row for row in rows if row["part"] == "stream"]
    parts = [_models(models), _differences(models), _limits(models), _streams(streams)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _value(row: Row, place: str, path: str) -> float:
    found: Any = row[place]
    for key in path.split("."):
        found = found[key]
    return 100 * float(found)


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    out = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join(out + ["| " + " | ".join(line) + " |" for line in lines])


def _by_setting(rows: Sequence[Row]) -> dict[tuple[str, float], list[Row]]:
    out: dict[tuple[str, float], list[Row]] = {}
    for row in rows:
        out.setdefault((row["smoothing"], row["amount"]), []).append(row)
    return out


def _models(rows: Sequence[Row]) -> str:
    head = ["smoothing", "α", *(f"{name}, {place.removesuffix('_site')}" for name, place, _ in _MODELS)]
    lines = []
    for (kind, amount), own in _by_setting(rows).items():
        means = [np.mean([_value(row, place, path) for row in own]) for _, place, path in _MODELS]
        lines.append([kind, f"{amount:g}", *(f"{mean:.1f}" for mean in means)])
    return _table(head, lines)


def _differences(rows: Sequence[Row]) -> str:
    settings = _by_setting(rows)
    usual = {(row["source"], row["seed"]): row for row in settings.get(DEFAULT, [])}
    if not usual:
        return ""
    columns = [column for column in _MODELS if "hter" in column[2]]
    head = ["smoothing", "α", *(f"{name}, {place.removesuffix('_site')}" for name, place, _ in columns)]
    lines = []
    for (kind, amount), own in settings.items():
        cells = []
        for _, place, path in columns:
            gaps = [_value(r, place, path) - _value(usual[r["source"], r["seed"]], place, path) for r in own]
            cells.append(f"{np.mean(gaps):+.1f} [{min(gaps):+.1f}, {max(gaps):+.1f}]")
        lines.append([kind, f"{amount:g}", *cells])
    return _table(head, lines)


def _limits(rows: Sequence[Row]) -> str:
    names = ("max_entropy_fraction", "min_vote", "min_dissent")
    lines = []
    for (kind, amount), own in _by_setting(rows).items():
        ranges = [[row["limits"][name] for row in own] for name in names]
        passed = [
            [sum(row["cross_site"]["passed_gate"][label][k] for row in own) for k in range(3)]
            for label in ("bona_fide", "attack")
        ]
        shares = [f"{100 * given / there:.0f}, of them right {100 * right / max(1, given):.0f}"
                  for right, given, there in passed]  # fmt: skip
        lines.append([kind, f"{amount:g}", *(f"{min(x):.2f} to {max(x):.2f}" for x in ranges), *shares])
    gate = ["labelled bona fide, per 100 faces", "labelled attack, per 100 attacks"]
    return _table(["smoothing", "α", *(f"`{name}`" for name in names), *gate], lines)


def _streams(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    groups: dict[tuple[float, str, bool], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["amount"], row["missing"], row["soft_labels"]), []).append(row)
    head = ["α", "missing", "pseudo labels", "HTER unadapted", "change", "BPCER", "APCER max", "AUC", "updates",
            "bona fide right", "attack right"]  # fmt: skip
    lines = []
    for (amount, missing, soft), own in groups.items():
        hter = _change(own, "hter")
        said = {label: [sum(row["labels_right"][label][k] for row in own) for k in (0, 1)]
                for label in ("bona_fide", "attack")}  # fmt: skip
        lines.append([
            f"{amount:g}", missing or "nothing", "soft" if soft else "hard",
            f"{100 * np.mean([row['hter_source'] for row in own]):.1f}",
            f"{np.mean(hter):+.2f} [{min(hter):+.1f}, {max(hter):+.1f}]",
            *(f"{np.mean(_change(own, key)):+.2f}" for key in ("bpcer", "apcer_max", "auc")),
            f"{np.mean([row['updates'] for row in own]):.1f}",
            *(f"{good} of {count}" for good, count in said.values()),
        ])  # fmt: skip
    return _table(head, lines)


def _change(rows: Sequence[Row], key: str) -> list[float]:
    return [100 * (row[f"{key}_adapted"] - row[f"{key}_source"]) for row in rows]
