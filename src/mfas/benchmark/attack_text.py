"""Attack and stealing audits as a person at a terminal wants them: findings, then tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mfas.benchmark.audit_text import grid


def brief_attack(result: Mapping[str, Any]) -> dict[str, Any]:
    """Findings in sentences, accept rates in per cent by model, and where the page is."""
    matrices = {}
    for model in result["models"]:
        rows = [row for row in result["matrix"] if row["victim"] == model["name"]]
        patterns = list(dict.fromkeys(row["missing"] for row in rows))
        cells = {(row["kind"], row["missing"]): row["accepted"] for row in rows}
        lines = [["missing:", *(pattern or "none" for pattern in patterns)]]
        kinds = dict.fromkeys(row["kind"] for row in rows)
        lines += [[kind, *(percent(cells[kind, pattern]) for pattern in patterns)] for kind in kinds]
        matrices[f"accepted, {model['name']}"] = grid(lines)
    streams = {}
    for model in result["models"]:
        rows = [row for row in result["stream"] if row["victim"] == model["name"]]
        if rows:
            streams[f"after a stream, {model['name']}"] = grid([_STREAM, *map(_stream_line, rows)])
    return {
        "findings": "\n".join(result["findings"]) or "none",
        "captures": result["captures"],
        **matrices,
        **streams,
        "seconds": result["seconds"],
        "page": result["page"],
    }


_STREAM = ["", "perturbed", "taught", "updates", "apcer", "worst", "bpcer"]


def _stream_line(row: Mapping[str, Any]) -> list[str]:
    counts = [str(row[key]) for key in ("perturbed", "taught", "updates")]
    return [row["variant"], *counts, *(percent(row[key]) for key in ("apcer", "apcer_max", "bpcer"))]


def brief_steal(result: Mapping[str, Any]) -> dict[str, Any]:
    """Findings, and one line for each clone."""
    head = ["model", "strategy", "answers", "defence", "queries", "agreement", "chance", "hter", "transfer"]
    lines = [
        [
            row["victim"], row["strategy"], row["answers"], row["defence"] or "-", str(row["asked"]),
            percent(row["agreement"]), percent(row["by_chance"]), percent(row["hter"]), percent(row["transfer"]),
        ]
        for row in result["clones"]
    ]  # fmt: skip
    return {
        "findings": "\n".join(result["findings"]) or "none",
        "captures": result["captures"],
        "clones": grid([head, *lines]),
        "seconds": result["seconds"],
        "page": result["page"],
    }


def percent(value: float | None) -> str:
    """A rate without its sign."""
    return "-" if value is None else f"{100 * value:.1f}"
