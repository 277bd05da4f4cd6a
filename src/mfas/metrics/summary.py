"""All figures of one set of scores in one record: `evaluate` -> `Metrics`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mfas.errors import ScoreError
from mfas.metrics import _check, _sample, _weighted, curves, intervals, rates, thresholds
from mfas.metrics._check import Array

BPCER_TARGETS = _weighted.APCER_TARGETS
TPR_TARGETS = _weighted.FPR_TARGETS


@dataclass(frozen=True, slots=True)
class Metrics:
    """ISO/IEC 30107-3 figures of one set of scores. Rates are fractions; None = not defined here, said in ``notes``.

    ``intervals[metric]`` holds ``low, high, method, unit`` of the subject bootstrap and, for plain error rates, the
    exact interval under ``clopper_pearson``; a species' APCER is found under ``apcer_by_species.NAME``; the exact
    interval of ``apcer_max`` is that of the worst species. ``n_bona_fide`` and ``n_attack`` count scored rows;
    ``n_presentations`` also counts those without an answer; ``n_subjects`` is None when subjects are unknown.
    """

    bpcer: float | None
    apcer_by_species: dict[str, float] | None
    apcer_max: float | None
    apcer: float | None
    hter: float | None
    acer: float | None
    hter_eer: float | None
    auc: float | None
    bpcer_at_apcer_10pct: float | None
    bpcer_at_apcer_5pct: float | None
    bpcer_at_apcer_1pct: float | None
    tpr_at_fpr_1pct: float | None
    tpr_at_fpr_0_1pct: float | None
    threshold: float | None
    n_bona_fide: int
    n_attack: int
    n_attack_by_species: dict[str, int]
    n_subjects: int | None
    n_presentations: int
    non_response: int
    non_response_by_class: dict[str, int]
    intervals: dict[str, dict[str, Any]]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-safe mapping in field order: None for what is not defined, never NaN."""
        values = asdict(self)
        values["notes"] = list(self.notes)
        return values


METRIC_NAMES: tuple[str, ...] = tuple(field.name for field in fields(Metrics))[:13]
"""The figures themselves, in table order: ``bpcer`` to ``tpr_at_fpr_0_1pct``."""


def evaluate(
    bona_fide: ArrayLike,
    attacks: Mapping[str, ArrayLike],
    threshold: float | None = None,
    *,
    bona_fide_subjects: Sequence[str] | None = None,
    attack_subjects: Mapping[str, Sequence[str]] | None = None,
    non_response: int | Mapping[str, int] = 0,
    n_presentations: int | None = None,
    unit: str = "presentation",
    seed: int = 0,
    draws: int = intervals.DRAWS,
) -> Metrics:
    """Every figure that these scores define.

    ``threshold`` comes from elsewhere (source validation); None leaves the threshold metrics None. Subjects are one
    name per score, in the same order and per species; ``""`` = unknown. ``non_response`` is a count, or counts by
    ``"bona_fide"`` and species. ``n_presentations`` is needed only when ``unit`` is not the presentation.
    ``draws=0`` leaves the bootstrap out. Raises `ScoreError` on NaN, scores outside [0, 1], or neither a score nor
    a non-response.

    >>> found = evaluate([0.2, 0.5, 0.7, 0.9], {"print_flat": [0.1, 0.2, 0.3, 0.5]}, 0.5, draws=0)
    >>> found.hter, found.auc, found.tpr_at_fpr_1pct
    (0.25, 0.8125, None)
    """
    genuine = _check.scores(bona_fide, "bona fide")
    groups = _check.species_scores(attacks)
    named = _sample.subject_names(genuine.size, groups, bona_fide_subjects, attack_subjects)
    silent = _silent(non_response)
    scored = genuine.size + sum(group.size for group in groups.values())
    missed = non_response if isinstance(non_response, int) else sum(silent.values())
    if not scored + missed:
        raise ScoreError("expected at least one score, got none")
    figures = _at_threshold(genuine, groups, threshold) | _over_curve(genuine, groups)
    return Metrics(
        **figures,
        threshold=threshold,
        n_bona_fide=int(genuine.size),
        n_attack=int(scored - genuine.size),
        n_attack_by_species={name: int(group.size) for name, group in groups.items()},
        n_subjects=len(set(named)) if all(named) else None,
        n_presentations=scored + missed if n_presentations is None else n_presentations,
        non_response=missed,
        non_response_by_class=silent,
        intervals=_intervals(genuine, groups, threshold, named, unit, draws, seed),
        notes=tuple(_notes(genuine, groups, threshold, named, unit)),
    )


def _silent(non_response: int | Mapping[str, int]) -> dict[str, int]:
    counts = {} if isinstance(non_response, int) else {str(k): int(v) for k, v in non_response.items()}
    least = min(counts.values(), default=0) if not isinstance(non_response, int) else non_response
    if least < 0:
        raise ScoreError(f"expected non-response counts of at least 0, got {least}")
    return counts


def _at_threshold(genuine: Array, groups: Mapping[str, Array], threshold: float | None) -> dict[str, Any]:
    empty = dict.fromkeys(METRIC_NAMES[:6])
    if threshold is None:
        return empty
    if genuine.size:
        empty["bpcer"] = rates.bpcer(genuine, threshold)
    if groups:
        empty["apcer_by_species"] = rates.apcer_by_species(groups, threshold)
        empty["apcer_max"] = rates.apcer_max(groups, threshold)
        empty["apcer"] = rates.apcer(groups, threshold)
    if genuine.size and groups:
        empty["hter"] = rates.hter(genuine, groups, threshold)
        empty["acer"] = rates.acer(genuine, groups, threshold)
    return empty


def _over_curve(genuine: Array, groups: Mapping[str, Array]) -> dict[str, Any]:
    values: dict[str, Any] = dict.fromkeys(METRIC_NAMES[6:])
    if not genuine.size or not groups:
        return values
    values["hter_eer"] = rates.hter(genuine, groups, thresholds.equal_error_threshold(genuine, groups))
    values["auc"] = curves.auc(genuine, groups)
    for name, target in BPCER_TARGETS.items():
        values[name] = thresholds.bpcer_at_apcer(genuine, groups, target)
    for name, target in TPR_TARGETS.items():
        values[name] = curves.tpr_at_fpr(genuine, groups, target)
    return values


def _intervals(
    genuine: Array,
    groups: Mapping[str, Array],
    threshold: float | None,
    named: Sequence[str],
    unit: str,
    draws: int,
    seed: int,
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    if draws and named:
        split = np.cumsum([genuine.size, *(group.size for group in groups.values())])
        parts = [part.tolist() for part in np.split(np.asarray(named), split)[:-1]]
        sample = _sample.build(genuine, groups, parts[0], dict(zip(groups, parts[1:], strict=True)), unit)
        attack_count = sum(group.size for group in groups.values())
        for name, interval in intervals.of_sample(sample, threshold, draws, seed).items():
            if name not in TPR_TARGETS or _check.allowed_errors(TPR_TARGETS[name], attack_count):
                found[name] = asdict(interval)
    for name, exact in _exact(genuine, groups, threshold, unit).items():
        found[name] = found.get(name, exact) | {"clopper_pearson": exact}
    return found


def _exact(
    genuine: Array, groups: Mapping[str, Array], threshold: float | None, unit: str
) -> dict[str, dict[str, Any]]:
    if threshold is None:
        return {}
    errors: dict[str, tuple[int, int]] = {}
    if genuine.size:
        errors["bpcer"] = (int(np.sum(genuine < threshold)), genuine.size)
    if groups:
        by_species = {name: (int(np.sum(group >= threshold)), group.size) for name, group in groups.items()}
        pooled = np.asarray(list(by_species.values())).sum(axis=0)
        errors["apcer"] = (int(pooled[0]), int(pooled[1]))
        # Among species with equal rates the smallest one has the widest interval: the cautious choice.
        errors["apcer_max"] = max(by_species.values(), key=lambda pair: (pair[0] / pair[1], -pair[1]))
        errors |= {f"apcer_by_species.{name}": pair for name, pair in by_species.items()}
    return {name: asdict(intervals.clopper_pearson(*pair, unit=unit)) for name, pair in errors.items()}


def _notes(
    genuine: Array, groups: Mapping[str, Array], threshold: float | None, named: Sequence[str], unit: str
) -> list[str]:
    notes = []
    if threshold is None:
        notes.append(
            "No threshold was given, so bpcer, apcer, hter and acer are not defined; give one from other data."
        )
    for empty, name in ((not genuine.size, "bona fide"), (not groups, "attack")):
        if empty:
            notes.append(f"There are no {name} scores, so metrics that need both classes are not defined.")
    count = sum(group.size for group in groups.values())
    if genuine.size and groups:
        notes += [
            f"TPR at FPR {100 * target:g} % ({name}) is not defined: "
            f"it needs {round(1 / target)} attacks, there are {count}."
            for name, target in TPR_TARGETS.items()
            if not _check.allowed_errors(target, count)
        ]
        small = [name for name, group in groups.items() if not _check.allowed_errors(0.01, group.size)]
        if small:
            notes.append(f"At APCER 1 % no attack may be accepted of species with fewer than 100: {', '.join(small)}.")
    if not named:
        notes.append("Every capture is a non-response: there is nothing to measure but their number.")
    elif not all(named):
        notes.append(f"Subjects are not known for every row, so intervals are over {unit}s and may be too narrow.")
    elif len(set(named)) == 1:
        notes.append(f"There is one subject only, so intervals are over {unit}s and say nothing about other people.")
    return notes
