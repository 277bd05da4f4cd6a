"""Figures of a search: rates with exact intervals, cost until the first success, how well a preview ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from mfas.audit.search import Found, Trial
from mfas.metrics.intervals import clopper_pearson


def rate(accepted: int, count: int) -> dict[str, Any]:
    """``accepted`` of ``count`` captures, with the exact 95 % interval."""
    interval = clopper_pearson(accepted, count, unit="capture")
    return {
        "count": count,
        "accepted": accepted,
        "rate": accepted / count,
        "interval": {"low": interval.low, "high": interval.high},
    }


def arm(found: Sequence[Found], threshold: float) -> dict[str, Any]:
    """One way of choosing parameters over all scenes; ``first_accepted`` is the cost spent until then, None = never."""
    trials = [trial for part in found for trial in part.trials]
    before, first = 0.0, None
    for part in found:
        own = part.first_accepted(threshold)
        first = before + own if first is None and own is not None else first
        before += part.cost
    return {
        **rate(sum(trial.score >= threshold for trial in trials), len(trials)),
        "best_score": max(trial.score for trial in trials),
        "scenes_accepted": sum(bool(part.accepted(threshold)) for part in found),
        "first_accepted": first,
        "glances": sum(part.glances for part in found),
        "cost": sum(part.cost for part in found),
    }


def rank_correlation(trials: Sequence[Trial]) -> float | None:
    """Spearman's correlation of previews and full renders, where both were made; None for fewer than three."""
    pairs = [(trial.glanced, trial.score) for trial in trials if trial.glanced is not None]
    if len(pairs) < 3:
        return None
    found = float(spearmanr(*zip(*pairs, strict=True)).statistic)
    return found if np.isfinite(found) else None


def brief(result: Mapping[str, Any]) -> dict[str, Any]:
    """The result as a person at a terminal wants it."""
    return {
        **{key: result[key] for key in ("site", "threshold", "missing") if result[key] != ""},
        "species": {row["species"]: _told(row) for row in result["rows"]},
        **{key: result[key] for key in ("manifest", "page", "notice") if result.get(key)},
    }


def _told(row: Mapping[str, Any]) -> dict[str, str]:
    easiest = row["easiest"]
    verdict = "accepted" if easiest["accepted"] else "rejected"
    told = {"easiest": f"{easiest['score']:.4g} ({verdict}, by {easiest['by']})"}
    for name in ("random", "search"):
        again = row["repeats"][name]
        told[name] = f"{_share(row[name])} accepted, best {row[name]['best_score']:.4g}"
        told[name] += f", {_share(again)} with fresh people" if again else ""
    return told


def _share(found: Mapping[str, Any]) -> str:
    return f"{found['accepted']} of {found['count']}"


def findings(rows: Sequence[Mapping[str, Any]], site: str) -> list[str]:
    """A sentence for each species of which an accepted attack was found."""
    return [_finding(row, site) for row in rows if row["easiest"]["accepted"]]


def _finding(row: Mapping[str, Any], site: str) -> str:
    again = row["repeats"]["search"]
    fresh = f" with other people and noise its parameters are accepted in {_share(again)} renders," if again else ""
    return (
        f"{row['species']} at {site}: {row['budget']} searched renders found a plausible attack that is accepted "
        f"(score {row['easiest']['score']:.3f});{fresh} random parameters in {_share(row['random'])}."
    )
