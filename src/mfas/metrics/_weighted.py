"""Every metric for many resamples at once. A resample is a row of weights over the same sorted scores.

With all weights 1 each value equals that of the plain functions in `rates`, `thresholds` and `curves` (tested). A value
that a resample does not define (no row of a class was drawn) is NaN; `intervals` leaves such draws out.
"""

from __future__ import annotations

import numpy as np

from mfas.metrics._check import Array, IntArray
from mfas.metrics._sample import Sample

APCER_TARGETS = {"bpcer_at_apcer_10pct": 0.10, "bpcer_at_apcer_5pct": 0.05, "bpcer_at_apcer_1pct": 0.01}
FPR_TARGETS = {"tpr_at_fpr_1pct": 0.01, "tpr_at_fpr_0_1pct": 0.001}


def at_threshold(sample: Sample, weights: IntArray, threshold: float) -> dict[str, Array]:
    """Rates at a fixed threshold; ``weights`` is ``[d, N]``, each value ``[d]``."""
    strata = np.eye(len(sample.species) + 1)[sample.stratum]
    accepted = np.where((sample.score >= threshold)[:, None], strata, 0.0)
    real = weights.astype(np.float64)
    total, passed = real @ strata, real @ accepted
    with np.errstate(invalid="ignore"):
        rate = passed / total
        values = {"bpcer": (total[:, 0] - passed[:, 0]) / total[:, 0]}
        if sample.species:
            values["apcer"] = passed[:, 1:].sum(axis=1) / total[:, 1:].sum(axis=1)
            values["apcer_max"] = np.fmax.reduce(rate[:, 1:], axis=1)
            values["hter"] = (values["apcer"] + values["bpcer"]) / 2
            values["acer"] = (values["apcer_max"] + values["bpcer"]) / 2
    return values | {f"apcer_by_species.{name}": rate[:, i + 1] for i, name in enumerate(sample.species)}


def over_curve(sample: Sample, weights: IntArray) -> dict[str, Array]:
    """Metrics that place their own threshold: ``hter_eer``, ``auc``, ``bpcer_at_apcer_*``, ``tpr_at_fpr_*``."""
    last = np.flatnonzero(np.append(np.diff(sample.score) > 0, True))
    genuine = _below(weights * (sample.stratum == 0), last)
    species = [_below(weights * (sample.stratum == i + 1), last) for i in range(len(sample.species))]
    fake = np.sum(species, axis=0)
    values = {"hter_eer": _hter_eer(sample, genuine, fake), "auc": _auc(genuine, fake)}
    for name, target in APCER_TARGETS.items():
        cut = np.max([_first_within(below, target) for below in species], axis=0)
        values[name] = _share(genuine, cut)
    for name, target in FPR_TARGETS.items():
        values[name] = 1.0 - _share(genuine, _first_within(fake, target))
    return values


def _below(weights: IntArray, last: IntArray) -> IntArray:
    """Weight rejected at each cut: column k rejects the k lowest distinct scores."""
    cumulative = np.cumsum(weights, axis=1)[:, last]
    return np.concatenate([np.zeros((len(weights), 1), dtype=cumulative.dtype), cumulative], axis=1)


def _first_within(below: IntArray, target: float) -> IntArray:
    total = below[:, -1:]
    spare = np.floor(target * total + 1e-9).astype(np.int64)
    return np.asarray(np.sum(total - below > spare, axis=1))


def _share(below: IntArray, cut: IntArray) -> Array:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.take_along_axis(below, cut[:, None], axis=1)[:, 0] / below[:, -1])


def _hter_eer(sample: Sample, genuine: IntArray, fake: IntArray) -> Array:
    # A threshold within [0, 1] cannot reject a score of exactly 1.
    keep = slice(None, -1) if sample.score[-1] >= 1.0 else slice(None)
    bona_fides, attacks = genuine[:, -1:], fake[:, -1:]
    rejected = genuine[:, keep] * attacks
    accepted = (attacks - fake[:, keep]) * bona_fides
    gap = np.abs(rejected - accepted)
    tied = gap == gap.min(axis=1, keepdims=True)
    least = np.where(tied, rejected + accepted, np.iinfo(np.int64).max).min(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        pairs = (bona_fides * attacks)[:, 0]
        return np.where(pairs > 0, least / (2.0 * pairs), np.nan)


def _auc(genuine: IntArray, fake: IntArray) -> Array:
    beaten = np.diff(genuine, axis=1) * (fake[:, :-1] + fake[:, 1:])
    pairs = genuine[:, -1] * fake[:, -1]
    with np.errstate(invalid="ignore"):
        return np.asarray(beaten.sum(axis=1) / (2.0 * pairs))
