"""Every method against one row of the tables: paired differences over stream seeds, corrected for their number."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mfas._files import read_json, write_json
from mfas.benchmark.bench_config import BASELINE
from mfas.benchmark.progress import SCORES_FILE
from mfas.benchmark.results import compare
from mfas.core import Label
from mfas.data.scores import ScoreTable, read_scores
from mfas.errors import ScoreError
from mfas.metrics.multiple import holm
from mfas.metrics.pooled import PairedErrors, mean_hter_difference

LEVEL = 0.05
"""Family-wise level at which a cell counts as won or lost."""
Row = Mapping[str, Any]
Pairs = list[tuple[Row, Row]]
"""Rows before and after, one pair per stream seed."""
FAMILY = ("against", "model", "training_seed", "stream", "method")
CELL = (*FAMILY, "target", "missing")


def pair_rows(rows: Iterable[Row], against: Sequence[str] = (BASELINE,)) -> dict[tuple[Any, ...], Pairs]:
    """Every method's rows beside those of each row of ``against``, by `CELL`; only seeds that both have run.

    Nothing is compared with itself, and the baseline not with what is built on it.
    """
    keys = CELL[1:]
    cells = group([row for row in rows if row["status"] == "ok" and row["hter"] is not None], keys)
    out: dict[tuple[Any, ...], Pairs] = {}
    for name in against:
        for key, own in cells.items():
            model, training_seed, stream, method, *place = key
            base = {row["seed"]: row for row in cells.get((model, training_seed, stream, name, *place), [])}
            pairs = [(base[row["seed"]], row) for row in own if row["seed"] in base]
            if method not in (name, BASELINE) and pairs:
                out[name, *key] = pairs
    return out


def comparisons(
    rows: Iterable[Row], out: Path, draws: int, against: Sequence[str] = (BASELINE,)
) -> list[dict[str, Any]]:
    """One entry per `CELL`: HTER minus that of the row ``against``, over the stream seeds.

    ``p_holm`` is corrected over the targets and patterns of one method on one stream; ``verdict`` is ``win``, ``loss``
    or ``tie`` at `LEVEL`. Cells without both classes, without a row to compare with, or with too few people to draw
    from, have none. Results are kept under ``OUT/differences``.
    """
    found = []
    for key, pairs in pair_rows(rows, against).items():
        difference = _kept(out, [draws, _names(pairs)], partial(_difference, pairs, out, draws))
        if difference is not None:
            found.append({**dict(zip(CELL, key, strict=True)), "seeds": len(pairs), **difference})
    for family in group(found, FAMILY).values():
        for entry, corrected in zip(family, holm([entry["p_value"] for entry in family]), strict=True):
            won = "win" if entry["difference"] < 0 else "loss"
            entry |= {"p_holm": corrected, "verdict": won if corrected < LEVEL else "tie"}
    return found


def summaries(found: Iterable[dict[str, Any]], rows: Iterable[Row], out: Path, draws: int) -> list[dict[str, Any]]:
    """Per `FAMILY`: mean difference with its interval, wins, ties, losses, and the worst cell.

    The interval draws people over all stream seeds, the same for all patterns of a target; None with too few people.
    """
    families = group(found, FAMILY)
    pairs = pair_rows(rows, list(dict.fromkeys(key[0] for key in families)))
    summed = []
    for key, entries in families.items():
        worst = max(entries, key=lambda entry: entry["difference"])
        counts = [sum(entry["verdict"] == kind for entry in entries) for kind in ("win", "tie", "loss")]
        by_target = {
            target: [pairs[tuple(entry[name] for name in CELL)] for entry in own]
            for (target,), own in group(entries, ("target",)).items()
        }
        content = ["mean", draws, {target: [_names(some) for some in own] for target, own in by_target.items()}]
        interval = _kept(out, content, partial(_mean_difference, by_target.values(), out, draws)) or {}
        summed.append(
            {
                **dict(zip(FAMILY, key, strict=True)),
                "cells": len(entries),
                "mean_difference": sum(entry["difference"] for entry in entries) / len(entries),
                "mean_low": interval.get("low"),
                "mean_high": interval.get("high"),
                **dict(zip(("wins", "ties", "losses"), counts, strict=True)),
                "worst": {name: worst[name] for name in ("target", "missing", "difference", "low", "high", "p_holm")},
            }
        )
    return summed


def group(rows: Iterable[Any], keys: tuple[str, ...]) -> dict[tuple[Any, ...], list[Any]]:
    """Rows by the values of ``keys``, in order of first appearance."""
    out: dict[tuple[Any, ...], list[Any]] = {}
    for row in rows:
        out.setdefault(tuple(row[key] for key in keys), []).append(row)
    return out


def _kept(out: Path, content: list[Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """What ``make`` gives, kept under the hash of ``content``; None where there are too few people."""
    path = out / "differences" / f"{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:24]}.json"
    if path.is_file():
        known: dict[str, Any] = read_json(path, "difference")
        return known
    try:
        found = make()
    except ScoreError:  # so few people that most draws lack a class
        return None
    write_json(path, found)
    return found


def _difference(pairs: Pairs, out: Path, draws: int) -> dict[str, Any]:
    before, after = (ScoreTable.concat(_scores(out, pair[side]) for pair in pairs) for side in (0, 1))
    return asdict(compare(before, after, pairs[0][0]["threshold"], draws=draws))


def _mean_difference(targets: Iterable[Sequence[Pairs]], out: Path, draws: int) -> dict[str, Any]:
    places = [[_errors(pairs, out) for pairs in patterns] for patterns in targets]
    return asdict(mean_hter_difference(places, draws=draws))


def _errors(pairs: Pairs, out: Path) -> PairedErrors:
    tables = [ScoreTable.concat(_scores(out, pair[side]).by_presentation() for pair in pairs) for side in (0, 1)]
    label = tables[0].column("label").astype(str)
    people, single = (tables[0].column(name).astype(str) for name in ("subject", "presentation_id"))
    attack = label == Label.ATTACK.value
    judged = (label != "") & ~np.isnan(tables[0].column("score")) & ~np.isnan(tables[1].column("score"))
    threshold = pairs[0][0]["threshold"]
    wrong = [(table.column("score") >= threshold) == attack for table in tables]
    units = np.where(people == "", single, people)
    return PairedErrors(units[judged], attack[judged], wrong[0][judged], wrong[1][judged])


def _names(pairs: Pairs) -> list[list[str]]:
    return [[before["cell"], after["cell"]] for before, after in pairs]


def _scores(out: Path, row: Row) -> ScoreTable:
    return read_scores(out / "cells" / row["cell"] / SCORES_FILE)
