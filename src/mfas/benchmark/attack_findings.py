"""What an attack audit found, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from mfas.audit.matrix import CLEAN
from mfas.core import Modality

PATCH_RISE = 0.3
"""A universal patch that lifts the accept rate by more is a finding."""
STREAM_RISE = 0.02
"""So is a stream after which the pooled APCER of clean captures is higher by more than after it unperturbed."""
RESIDUAL_SEES = 0.7
"""AUC against the same captures unperturbed from which on the complement residual is said to see noise."""
SLACK = 1e-6


def attack_findings(result: Mapping[str, Any]) -> list[str]:
    """Sentences in the order of the measurements, model by model."""
    out: list[str] = []
    for model in result["models"]:
        name = model["name"]
        out += _matrix(name, [row for row in result["matrix"] if row["victim"] == name])
        out += _strength(name, [row for row in result["strength"] if row["victim"] == name])
        out += _residual(name, [row for row in result["residual"] if row["victim"] == name])
        out += _patches(name, [row for row in result["patches"] if row["victim"] == name])
        out += _streams(name, [row for row in result["stream"] if row["victim"] == name])
    return out


def _matrix(name: str, rows: list[dict[str, Any]]) -> Iterator[str]:
    full = {row["kind"]: row for row in rows if row["missing"] == "" and row["accepted"] is not None}
    if CLEAN not in full:
        return
    clean = full[CLEAN]["accepted"]
    single = [m.value for m in Modality if m.value in full]
    if single:
        told = ", ".join(f"{kind} {_percent(full[kind]['accepted'])}" for kind in single)
        yield f"{name}: of attacks accepted {_percent(clean)} as they are; perturbed in one modality: {told}."
    for kind in ("all", "pseudo_label", "unwatched"):
        if kind in full:
            row = full[kind]
            yield (
                f"{name}: perturbed as '{kind}', {_percent(row['accepted'])} of attacks are accepted, "
                f"{_percent(row['taught'])} would be taught as living."
            )


def _strength(name: str, rows: list[dict[str, Any]]) -> Iterator[str]:
    for varied in dict.fromkeys(row["varied"] for row in rows):
        values = [row["objective"] for row in rows if row["varied"] == varied]
        if any(after < before - SLACK for before, after in pairwise(values)):
            yield f"{name}: more {varied} found less; the search stalls or slopes are hidden, and rates are too low."


def _residual(name: str, rows: list[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        if row["auc_same"] < RESIDUAL_SEES:
            yield (
                f"{name}: the complement residual does not see noise in {row['modality']}: AUC {row['auc_same']:.2f} "
                f"against the same captures unperturbed, {row['auc_bona_fide']:.2f} against living faces."
            )


def _patches(name: str, rows: list[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        if row["accepted"] > row["clean"] + PATCH_RISE:
            yield (
                f"{name}: one patch of {row['side']} pixels at row {row['top']}, column {row['left']} of "
                f"{row['modality']} lifts the accept rate from {_percent(row['clean'])} to "
                f"{_percent(row['accepted'])}, whoever wears it."
            )


def _streams(name: str, rows: list[dict[str, Any]]) -> Iterator[str]:
    calm = {row["variant"]: row for row in rows if not row["share"]}
    for row in rows:
        before = calm.get(row["variant"])
        if row["share"] and before and row["apcer"] > before["apcer"] + STREAM_RISE:
            yield (
                f"{name}: after an attacked stream, {row['variant']}, clean APCER is {_percent(row['apcer'])}, "
                f"{_percent(before['apcer'])} after the same stream unperturbed."
            )


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.1f} %"
