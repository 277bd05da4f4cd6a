"""ROC and DET points, area under the curve, TPR at a fixed FPR.

Bona fide is the positive class: TPR = 1 - BPCER, FPR = pooled APCER. scikit-learn counts; the meaning is fixed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from sklearn import metrics as sk

from mfas.metrics import _check
from mfas.metrics._check import Array


@dataclass(frozen=True, slots=True)
class Roc:
    """Points of a ROC curve, thresholds descending; the first accepts nothing (threshold infinite).

    ``fpr``, ``tpr`` and ``threshold`` are float vectors of one length, one entry per distinct score and one before.
    """

    fpr: Array
    tpr: Array
    threshold: Array


@dataclass(frozen=True, slots=True)
class Det:
    """Points of a detection error tradeoff curve: ``apcer`` and ``bpcer`` as fractions, thresholds ascending."""

    apcer: Array
    bpcer: Array
    threshold: Array


def roc(bona_fide: ArrayLike, attacks: Mapping[str, ArrayLike]) -> Roc:
    """ROC points at every distinct score; tied scores move both rates at once. `ScoreError` if a class is empty.

    >>> roc([0.6, 0.9], {"print_flat": [0.1, 0.6]}).tpr
    array([0. , 0.5, 1. , 1. ])
    """
    genuine = _check.bona_fide_scores(bona_fide)
    fake = _check.pooled(_check.attack_scores(attacks))
    truth = np.concatenate([np.ones(genuine.size, dtype=int), np.zeros(fake.size, dtype=int)])
    fpr, tpr, threshold = sk.roc_curve(truth, np.concatenate([genuine, fake]), drop_intermediate=False)
    return Roc(fpr, tpr, threshold)


def det(bona_fide: ArrayLike, attacks: Mapping[str, ArrayLike]) -> Det:
    """DET points with pooled APCER: `roc` read from the strict end, in error rates.

    >>> det([0.6, 0.9], {"print_flat": [0.1, 0.6]}).bpcer
    array([0. , 0. , 0.5, 1. ])
    """
    points = roc(bona_fide, attacks)
    return Det(points.fpr[::-1].copy(), 1.0 - points.tpr[::-1], points.threshold[::-1].copy())


def auc(bona_fide: ArrayLike, attacks: Mapping[str, ArrayLike]) -> float:
    """Area under the ROC curve: the chance that a bona fide outscores an attack, ties counted half.

    >>> auc([0.6, 0.9], {"print_flat": [0.1, 0.6]})
    0.875
    """
    points = roc(bona_fide, attacks)
    return float(sk.auc(points.fpr, points.tpr))


def tpr_at_fpr(bona_fide: ArrayLike, attacks: Mapping[str, ArrayLike], target: float) -> float | None:
    """The highest TPR over thresholds whose FPR is at most ``target``; not interpolated, so it can be operated.

    None when ``target`` < 1 / number of attacks: the data cannot show a rate below one attack.

    >>> tpr_at_fpr([0.4, 0.6, 0.9], {"print_flat": [0.1, 0.2, 0.3, 0.5]}, 0.25)
    1.0
    >>> tpr_at_fpr([0.4, 0.6, 0.9], {"print_flat": [0.1, 0.2, 0.3, 0.5]}, 0.01) is None
    True
    """
    target = _check.fraction(target, "the FPR target")
    points = roc(bona_fide, attacks)
    count = _check.pooled(_check.attack_scores(attacks)).size
    spare = _check.allowed_errors(target, count)
    if spare < 1:
        return None
    return float(points.tpr[np.rint(points.fpr * count) <= spare].max())
