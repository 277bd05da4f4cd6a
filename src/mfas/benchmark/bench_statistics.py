"""Every method against no adaptation: paired differences over stream seeds, corrected for their number."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mfas._files import read_json, write_json
from mfas.benchmark.bench_config import BASELINE
from mfas.benchmark.progress import SCORES_FILE
from mfas.benchmark.results import compare
from mfas.data.scores import ScoreTable, read_scores
from mfas.errors import ScoreError
from mfas.metrics.multiple import holm

LEVEL = 0.05
"""Family-wise level at which a cell counts as won or lost."""
Row = Mapping[str, Any]
FAMILY = ("model", "training_seed", "stream", "method")
CELL = (*FAMILY, "target", "missing")


def comparisons(rows: Iterable[Row], out: Path, draws: int) -> list[dict[str, Any]]:
    """One entry per model, stream, method, target and pattern: HTER minus that of `BASELINE`, over the stream seeds.

    ``p_holm`` is corrected over the targets and patterns of one method on one stream; ``verdict`` is ``win``, ``loss``
    or ``tie`` at `LEVEL`. Cells without both classes, without a baseline, or with too few people to draw from, have
    none. Results are kept under ``OUT/differences``.
    """
    cells = group([row for row in rows if row["status"] == "ok" and row["hter"] is not None], CELL)
    found = []
    for key, own in cells.items():
        model, training_seed, stream, method, target, missing = key
        base = {row["seed"]: row for row in cells.get((model, training_seed, stream, BASELINE, target, missing), [])}
        pairs = [(base[row["seed"]], row) for row in own if row["seed"] in base]
        if method != BASELINE and pairs:
            difference = _difference(pairs, out, draws)
            if difference is None:
                continue
            found.append({**dict(zip(CELL, key, strict=True)), "seeds": len(pairs), **difference})
    for family in group(found, FAMILY).values():
        for entry, corrected in zip(family, holm([entry["p_value"] for entry in family]), strict=True):
            won = "win" if entry["difference"] < 0 else "loss"
            entry |= {"p_holm": corrected, "verdict": won if corrected < LEVEL else "tie"}
    return found


def summaries(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per model, stream and method: mean difference, wins, ties, losses, and the worst cell."""
    out = []
    for key, entries in group(found, FAMILY).items():
        worst = max(entries, key=lambda entry: entry["difference"])
        counts = [sum(entry["verdict"] == kind for entry in entries) for kind in ("win", "tie", "loss")]
        out.append(
            {
                **dict(zip(FAMILY, key, strict=True)),
                "cells": len(entries),
                "mean_difference": sum(entry["difference"] for entry in entries) / len(entries),
                **dict(zip(("wins", "ties", "losses"), counts, strict=True)),
                "worst": {name: worst[name] for name in ("target", "missing", "difference", "low", "high", "p_holm")},
            }
        )
    return out


def group(rows: Iterable[Any], keys: tuple[str, ...]) -> dict[tuple[Any, ...], list[Any]]:
    """Rows by the values of ``keys``, in order of first appearance."""
    out: dict[tuple[Any, ...], list[Any]] = {}
    for row in rows:
        out.setdefault(tuple(row[key] for key in keys), []).append(row)
    return out


def _difference(pairs: list[tuple[Row, Row]], out: Path, draws: int) -> dict[str, Any] | None:
    content = json.dumps([draws, [[before["cell"], after["cell"]] for before, after in pairs]])
    kept = out / "differences" / f"{hashlib.sha256(content.encode()).hexdigest()[:24]}.json"
    if kept.is_file():
        known: dict[str, Any] = read_json(kept, "difference")
        return known
    before, after = (ScoreTable.concat(_scores(out, pair[side]) for pair in pairs) for side in (0, 1))
    try:
        found = asdict(compare(before, after, pairs[0][0]["threshold"], draws=draws))
    except ScoreError:  # so few people that most draws lack a class
        return None
    write_json(kept, found)
    return found


def _scores(out: Path, row: Row) -> ScoreTable:
    return read_scores(out / "cells" / row["cell"] / SCORES_FILE)
