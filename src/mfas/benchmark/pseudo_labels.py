"""What a run accepted to learn from, held against the truth afterwards. Nothing here reaches an adapter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from mfas.core import Label
from mfas.errors import ScoreError
from mfas.metrics.intervals import clopper_pearson
from mfas.metrics.pseudo_labels import claim_bins


def judge_pseudo_labels(steps: Iterable[Mapping[str, Any]], truth: Mapping[str, str]) -> dict[str, Any]:
    """Accuracy of the pseudo labels of a run and the reliability diagram of what they claimed; JSON-safe.

    ``steps`` are the lines of ``steps.jsonl``, ``truth`` maps each capture to its label (empty: not known, left out).
    Per pseudo label: ``accepted``, ``right``, ``accuracy`` with its exact interval over captures, and ``claims``, bins
    of calibrated reliability against the share that was right. ``accepted_share`` is of all captures seen. Raises
    `ScoreError` for an accepted capture that ``truth`` does not list.
    """
    seen = accepted = unknown = 0
    found: dict[str, list[tuple[bool, float | None]]] = {label.value: [] for label in Label}
    for step in steps:
        seen += step["seen"]
        claims = step.get("reliabilities") or [None] * len(step["accepted_ids"])
        for capture, label, claim in zip(step["accepted_ids"], step["pseudo_labels"], claims, strict=True):
            accepted += 1
            if capture not in truth:
                raise ScoreError(f"expected a label for every accepted capture, got none for '{capture}'")
            if truth[capture]:
                found[label].append((truth[capture] == label, claim))
            else:
                unknown += 1
    return {
        "seen": seen,
        "accepted": accepted,
        "accepted_share": accepted / seen if seen else None,
        "unknown": unknown,
        "by_class": {label: _class(pairs) for label, pairs in found.items()},
    }


def with_truth(steps: Iterable[Mapping[str, Any]], truth: Mapping[str, str]) -> list[dict[str, Any]]:
    """Steps with ``seen`` cumulative and pseudo labels counted against the truth where it is known; for reports."""
    seen, out = 0, []
    for step in steps:
        seen += step["seen"]
        pairs = [
            (truth[capture], label)
            for capture, label in zip(step["accepted_ids"], step["pseudo_labels"], strict=True)
            if truth.get(capture)
        ]
        right = sum(known == label for known, label in pairs)
        out.append({**step, "seen": seen, "pseudo_label_correct": right, "pseudo_label_total": len(pairs)})
    return out


def _class(pairs: list[tuple[bool, float | None]]) -> dict[str, Any]:
    right = sum(good for good, _ in pairs)
    claimed = [(claim, good) for good, claim in pairs if claim is not None]
    return {
        "accepted": len(pairs),
        "right": right,
        "accuracy": right / len(pairs) if pairs else None,
        "interval": asdict(clopper_pearson(right, len(pairs), unit="capture")) if pairs else None,
        "claims": [asdict(b) for b in claim_bins([c for c, _ in claimed], [g for _, g in claimed])],
        "without_claim": len(pairs) - len(claimed),
    }
