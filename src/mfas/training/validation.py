"""Scores of a labelled set under every missing pattern, and the source thresholds they give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy

from mfas.core import MISSING_PATTERNS, MODALITIES, Batch, Label, Prediction, parse_modalities
from mfas.metrics.thresholds import equal_error_threshold
from mfas.models.contract import FasModel, to_prediction


@dataclass(frozen=True, slots=True)
class PatternScores:
    """Capture-level results under one imposed pattern; all arrays have one row per *scored* capture.

    ``rows`` are positions in the set; ``score`` in [0, 1]; ``modality_scores`` ``[N, 3]``, NaN where not observed.
    """

    missing: str
    rows: NDArray[np.int64]
    score: NDArray[np.float64]
    modality_scores: NDArray[np.float64]


@torch.no_grad()
def score_patterns(
    model: FasModel, batches: Iterable[Batch], patterns: Iterable[str] = MISSING_PATTERNS
) -> dict[str, PatternScores]:
    """Score every batch under every pattern; the lower part runs once per batch. The model must be in eval mode."""
    wanted = list(patterns)
    rows: dict[str, list[NDArray[np.int64]]] = {p: [] for p in wanted}
    found: dict[str, list[Prediction]] = {p: [] for p in wanted}
    start = 0
    for batch in batches:
        maps = model.lower(batch)
        for missing in wanted:
            present = batch.impose(parse_modalities(missing)).present
            usable = present.any(dim=1).nonzero().squeeze(1)
            if len(usable):
                some = {m: x[usable] for m, x in maps.items()}
                found[missing].append(to_prediction(model.upper(some, present[usable])))
                rows[missing].append(usable.cpu().numpy() + start)
        start += len(batch)
    return {p: _join(p, rows[p], found[p]) for p in wanted}


def validation_loss(scores: dict[str, PatternScores], bona_fide: NDArray[np.bool_]) -> float:
    """Mean over patterns of the cross-entropy of the fused score: what early stopping watches.

    Patterns that leave no capture anything (a sensor the data do not have) are left out. NaN where a score is.
    """
    losses = []
    for pattern in scores.values():
        if not len(pattern.rows):
            continue
        if np.isnan(pattern.score).any():
            return float("nan")
        target = torch.from_numpy(bona_fide[pattern.rows].astype(np.float64))
        clipped = torch.from_numpy(pattern.score).clamp(1e-6, 1 - 1e-6)
        losses.append(float(binary_cross_entropy(clipped, target)))
    return float(np.mean(losses))


def source_thresholds(
    scores: dict[str, PatternScores], labels: NDArray[np.str_], presentations: NDArray[np.str_]
) -> dict[str, float]:
    """Equal-error thresholds on presentations (mean over a presentation's scored captures), one per pattern.

    Patterns under which a class has no scored capture get none.
    """
    out = {}
    for missing, pattern in scores.items():
        bona_fide, attack = _by_presentation(pattern, labels, presentations)
        if len(bona_fide) and len(attack):
            out[missing] = equal_error_threshold(bona_fide, {"attack": attack})
    return out


def step_up_bands(
    scores: dict[str, PatternScores],
    labels: NDArray[np.str_],
    presentations: NDArray[np.str_],
    thresholds: Mapping[str, float],
    share: float,
) -> dict[str, tuple[float, float]]:
    """(low, high) for every pattern that has a threshold: who scores in [low, high) is asked for another proof.

    Below ``low`` lie at most ``share`` of the bona fide presentations, at or above ``high`` at most ``share`` of the
    attacks: outright rejections and acceptances are wrong that seldom on source validation. Where the threshold does
    better by itself, the band ends there.
    """
    out = {}
    for missing, threshold in thresholds.items():
        bona_fide, attack = (np.sort(x) for x in _by_presentation(scores[missing], labels, presentations))
        low = float(bona_fide[int(share * len(bona_fide))])
        high = float(np.nextafter(attack[::-1][int(share * len(attack))], np.inf))
        out[missing] = (min(low, threshold), min(max(high, threshold), 1.0))
    return out


def _by_presentation(
    pattern: PatternScores, labels: NDArray[np.str_], presentations: NDArray[np.str_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean scores of bona fide presentations and of attacks."""
    names, group = np.unique(presentations[pattern.rows], return_inverse=True)
    mean = np.bincount(group, pattern.score) / np.bincount(group)
    label = np.empty(len(names), dtype=labels.dtype)
    label[group] = labels[pattern.rows]
    return mean[label == Label.BONA_FIDE.value], mean[label == Label.ATTACK.value]


def _join(missing: str, rows: list[NDArray[np.int64]], found: list[Prediction]) -> PatternScores:
    if not rows:
        empty = np.empty(0)
        return PatternScores(missing, np.empty(0, np.int64), empty, empty.reshape(0, 3))
    return PatternScores(
        missing,
        np.concatenate(rows),
        torch.cat([p.score for p in found]).double().cpu().numpy(),
        torch.cat([p.modality_scores for p in found]).double().cpu().numpy(),
    )


def head_centres(scores: PatternScores, labels: NDArray[np.str_]) -> dict[str, float]:
    """Logit of each observed head's own equal-error threshold, as ``centre.<modality>``: where its vote turns."""
    out = {}
    bona_fide = labels[scores.rows] == Label.BONA_FIDE.value
    for column, modality in enumerate(MODALITIES):
        head = scores.modality_scores[:, column]
        seen = ~np.isnan(head)
        if not (seen & bona_fide).any() or not (seen & ~bona_fide).any():
            continue
        threshold = equal_error_threshold(head[seen & bona_fide], {"attack": head[seen & ~bona_fide]})
        clipped = min(max(threshold, 1e-4), 1 - 1e-4)
        out[f"centre.{modality.value}"] = float(np.log(clipped / (1 - clipped)))
    return out
