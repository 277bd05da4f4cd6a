"""Runs paired before and after adaptation, per missing pattern."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from mfas.core import MISSING_PATTERNS, MODALITIES, parse_modalities
from mfas.errors import ScoreError
from mfas.metrics import paired_bootstrap
from mfas.report.data import SOURCE, ReportData, ScoreGroup

Run = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pair:
    """One pattern of one target: HTER before (``source``) and after (``method``), means over ``seeds`` runs each.

    Intervals are None where a run carries none or seeds differ. ``difference`` = after - before; ``low`` and ``high``
    bound it (paired bootstrap) when the scores were given.
    """

    target: str
    model: str
    method: str
    missing: str
    before: float
    after: float
    before_interval: Mapping[str, Any] | None
    after_interval: Mapping[str, Any] | None
    low: float | None
    high: float | None
    seeds: int
    subjects: int | None

    @property
    def difference(self) -> float:
        """After minus before; negative is better."""
        return self.after - self.before

    @property
    def sensors(self) -> int:
        """How many modalities the pattern leaves."""
        return len(MODALITIES) - len(parse_modalities(self.missing))

    @property
    def verdict(self) -> str:
        """``better`` or ``worse`` only when the interval of the difference excludes zero, else ``unclear``."""
        if self.low is None or self.high is None or self.low <= 0.0 <= self.high:
            return "unclear"
        return "better" if self.high < 0.0 else "worse"


def pattern_order(missing: str) -> int:
    """Position of a pattern in canonical order; unknown ones last."""
    return MISSING_PATTERNS.index(missing) if missing in MISSING_PATTERNS else len(MISSING_PATTERNS)


def sort_runs(runs: Sequence[Run]) -> list[Run]:
    """Runs by target, model, pattern, then ``source`` before the others."""
    return sorted(
        runs,
        key=lambda r: (
            str(r.get("target", "")),
            str(r.get("model", "")),
            pattern_order(str(r.get("missing", ""))),
            r.get("method") != SOURCE,
            str(r.get("method", "")),
            r.get("seed") or 0,
        ),
    )


def pairs(data: ReportData) -> list[Pair]:
    """Every (target, model, pattern, method) that has an HTER before and after."""
    groups: dict[tuple[str, str, str, str], list[Run]] = {}
    for run in sort_runs(data.runs):
        if run.get("hter") is not None:
            key = (str(run.get("target", "")), str(run.get("model", "")), str(run.get("missing", "")), run["method"])
            groups.setdefault(key, []).append(run)
    found = []
    for (target, model, missing, method), after in groups.items():
        before = groups.get((target, model, missing, SOURCE))
        if method != SOURCE and before:
            found.append(_pair(data, target, model, missing, method, before, after))
    return sorted(found, key=lambda p: (p.target, p.model, p.method, pattern_order(p.missing)))


def _pair(
    data: ReportData, target: str, model: str, missing: str, method: str, before: list[Run], after: list[Run]
) -> Pair:
    low, high = _bounds(data, target, missing, method, after) if len(before) == len(after) == 1 else (None, None)
    return Pair(
        target=target,
        model=model,
        method=method,
        missing=missing,
        before=fmean(run["hter"] for run in before),
        after=fmean(run["hter"] for run in after),
        before_interval=_interval(before),
        after_interval=_interval(after),
        low=low,
        high=high,
        seeds=len(after),
        subjects=after[0].get("n_subjects"),
    )


def _interval(runs: list[Run]) -> Mapping[str, Any] | None:
    if len(runs) == 1:
        found: Mapping[str, Any] | None = (runs[0].get("intervals") or {}).get("hter")
        return found
    values = [run["hter"] for run in runs]
    return {"low": min(values), "high": max(values), "method": "range over seeds", "unit": "seed"}


def _bounds(
    data: ReportData, target: str, missing: str, method: str, after: list[Run]
) -> tuple[float | None, float | None]:
    given = after[0].get("hter_difference")
    if given:
        return given["low"], given["high"]
    first = find_group(data, target, missing, SOURCE)
    second = find_group(data, target, missing, method)
    if (
        first is None
        or second is None
        or first.threshold is None
        or second.threshold is None
        or not _aligned(first, second)
    ):
        return None, None
    try:
        found = paired_bootstrap(
            (first.bona_fide, first.attacks),
            (second.bona_fide, second.attacks),
            thresholds=(first.threshold, second.threshold),
            bona_fide_subjects=first.bona_fide_subjects,
            attack_subjects=first.attack_subjects,
        )
    except ScoreError:
        return None, None
    return found.low, found.high


def find_group(data: ReportData, target: str, missing: str, method: str) -> ScoreGroup | None:
    """The scores of one run, if they came with the data and are not ambiguous."""
    found = [g for g in data.score_groups if (g.name, g.missing, g.method) == (target, missing, method)]
    return found[0] if len(found) == 1 else None


def _aligned(first: ScoreGroup, second: ScoreGroup) -> bool:
    def names(group: ScoreGroup) -> tuple[list[str], dict[str, list[str]]] | None:
        if group.bona_fide_subjects is None or group.attack_subjects is None:
            return None
        return list(group.bona_fide_subjects), {k: list(v) for k, v in group.attack_subjects.items()}

    sizes = [(len(g.bona_fide), {k: len(np.asarray(v)) for k, v in g.attacks.items()}) for g in (first, second)]
    return names(first) is not None and names(first) == names(second) and sizes[0] == sizes[1]
