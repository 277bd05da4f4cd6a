"""What an adapting model has become after a stream in which an attacker presented captures made to be learnt from.

Protections are switched off one at a time, so that a table says what each of them is worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mfas import metrics
from mfas.adaptation.contract import Adapter
from mfas.adaptation.guards.labelled import LabelledSet
from mfas.adaptation.registry import create
from mfas.card import Card
from mfas.core import Batch, Label
from mfas.models.contract import FasModel

_FREE = 1_000_000
_OFF: dict[str, dict[str, Any]] = {
    "no gate": {"evidence": "everything"},
    "gate of the adapted model": {"gate_follows": True},
    "no hold": {"hold": {"limit": 0.0}},
    "no two-class rule": {"min_per_class": 0, "min_share": 0.0},
    "no adaptive weight": {"weight": {"floor": 1.0}},
    "no anchor": {"anchor": 0.0, "radius": None},
    "no quotas": {"per_presentation": _FREE, "per_subject": _FREE},
}


@dataclass(frozen=True, slots=True)
class Variant:
    """A composed method name and the settings of its parts, see `mfas.adaptation.registry.create`."""

    name: str
    method: str
    settings: dict[str, Any]


def variants(canary: bool = True) -> tuple[Variant, ...]:
    """As shipped, each protection off by itself, all off; then guards around it, and TENT, without and with one."""
    method = "mfas_danet"
    bare: dict[str, Any] = {}
    for name, settings in _OFF.items():
        bare |= settings if name != "gate of the adapted model" else {}
    found = [Variant("as shipped", method, {})]
    found += [Variant(name, method, settings) for name, settings in _OFF.items()]
    found.append(Variant("no protection", method, bare))
    if canary:
        labelled = {"canary": {"manifest": "canary"}}
        found.append(Variant("as shipped, canary", f"{method}+canary", labelled))
        found.append(Variant("no protection, canary", f"{method}+canary", {method: bare, **labelled}))
    found.append(Variant("no protection, anchor guard", f"{method}+anchor", {method: bare}))
    found.append(Variant("tent", "tent", {}))
    if canary:
        found.append(Variant("tent, canary", "tent+canary", {"canary": {"manifest": "canary"}}))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What a stream did. Rates are fractions of captures at the source threshold, on clean captures of other people.

    ``apcer`` pooled, ``apcer_max`` of the worst species. ``taught`` counts perturbed captures that became bona fide
    pseudo labels, of ``perturbed`` shown.
    """

    updates: int
    perturbed: int
    taught: int
    drift: float
    bpcer: float
    apcer: float
    apcer_max: float


def after_stream(
    model: FasModel,
    card: Card,
    variant: Variant,
    stream: Sequence[Batch],
    perturbed: frozenset[str],
    probe: LabelledSet,
    canary: LabelledSet | None = None,
    seed: int = 0,
) -> Aftermath:
    """Let ``variant`` learn from ``stream``, then score the clean ``probe``; the model is put back afterwards.

    ``perturbed`` are the ids of captures that an attacker made; no adapter sees them. Raises `ConfigError` when a
    variant needs a ``canary`` and there is none.
    """
    source = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def load(_: Path) -> LabelledSet:
        assert canary is not None
        return canary

    adapter = create(variant.method, model, card, variant.settings, seed, load if canary is not None else None)
    try:
        return _run(adapter, stream, perturbed, probe)
    finally:
        model.load_state_dict(source)
        model.eval()


def _run(adapter: Adapter, stream: Sequence[Batch], perturbed: frozenset[str], probe: LabelledSet) -> Aftermath:
    updates, taught, shown, drift = 0, 0, 0, 0.0
    for batch in stream:
        _, report = adapter.step(batch)
        updates += report.updated
        drift = report.drift
        shown += sum(name in perturbed for name in batch.ids.capture_id)
        labels = zip(report.accepted_ids, report.pseudo_labels, strict=True)
        taught += sum(name in perturbed and label == Label.BONA_FIDE.value for name, label in labels)
    bona_fide, attacks = probe_scores(adapter, probe)
    return Aftermath(
        updates=updates,
        perturbed=shown,
        taught=taught,
        drift=drift,
        bpcer=metrics.bpcer(bona_fide, probe.threshold),
        apcer=metrics.apcer(attacks, probe.threshold),
        apcer_max=metrics.apcer_max(attacks, probe.threshold),
    )


def probe_scores(adapter: Adapter, probe: LabelledSet) -> tuple[list[float], dict[str, list[float]]]:
    """Scores of the probe's bona fide captures, and of its attacks by species."""
    scores = torch.cat([adapter.predict(batch).score for batch in probe.batches]).tolist()
    attacks: dict[str, list[float]] = {}
    bona_fide = []
    for score, label, species in zip(scores, probe.labels, probe.species, strict=True):
        if label is Label.BONA_FIDE:
            bona_fide.append(score)
        else:
            attacks.setdefault(species, []).append(score)
    return bona_fide, attacks
