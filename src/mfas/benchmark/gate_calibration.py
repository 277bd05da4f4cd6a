"""What the evidence gate is worth on labelled source validation: quantiles for its limits, curves for its claims."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfas.adaptation.gate import Gate, GateSettings
from mfas.card import Card, GateEvidence, ReliabilityBlock
from mfas.core import MISSING_PATTERNS, MODALITIES, Batch, Label, format_modalities, parse_modalities
from mfas.metrics.pseudo_labels import fit_claims
from mfas.models.contract import FasModel
from mfas.models.estimators import Estimate

_SHARES = np.linspace(0.0, 1.0, 21)


@dataclass(frozen=True, slots=True)
class _Look:
    rows: Tensor
    present: Tensor
    estimate: Estimate


def calibrate_gate(
    model: FasModel,
    card: Card,
    batches: Iterable[Batch],
    bona_fide: NDArray[np.bool_],
    presentations: NDArray[np.str_],
    settings: GateSettings,
) -> Card:
    """The card with `GateEvidence` for a gate of ``settings``; the model must be in eval mode.

    ``batches`` run through source validation once, in the order of ``bona_fide`` and ``presentations``, one entry per
    capture. Every pattern that leaves two modalities or more is looked at.
    """
    looked = Gate(settings.model_copy(update={"limits": "fixed"}), card)
    looks = list(_looks(model, looked, batches))
    live = torch.from_numpy(bona_fide)
    measured = GateEvidence(
        gate=settings.model_dump(mode="json"), quantiles=_quantiles(looks, live, settings.min_witnesses)
    )
    if settings.limits == "source" and not measured.quantiles:
        return card
    card = card.model_copy(update={"evidence": measured})
    curves = _curves(Gate(settings, card), looks, live, presentations)
    return card.model_copy(update={"evidence": measured.model_copy(update={"curves": curves})})


@torch.no_grad()
def _looks(model: FasModel, gate: Gate, batches: Iterable[Batch]) -> Iterator[_Look]:
    patterns = [p for p in MISSING_PATTERNS if len(parse_modalities(p)) <= len(MODALITIES) - 2]
    start = 0
    for batch in batches:
        maps = model.lower(batch)
        for missing in patterns:
            imposed = batch.impose(parse_modalities(missing))
            index = (imposed.present.sum(dim=1) >= 2).nonzero().squeeze(1)
            if len(index):
                some = imposed.select(index)
                output = model.upper({m: x[index] for m, x in maps.items()}, some.present)
                yield _Look(index + start, some.present, gate.estimate(output, model, some))
        start += len(batch)


def _quantiles(looks: list[_Look], live: Tensor, witnesses: int) -> dict[str, tuple[float, ...]]:
    """Over living faces with all sensors whose mean vote is right: entropy, weakest needed vote, strongest dissent.

    Of one class only: attacks are far surer than faces, and it is the faces that have to pass these limits.
    """
    columns: dict[str, list[Tensor]] = {"entropy": [], "vote": [], "dissent": []}
    for look in looks:
        found = look.estimate.assessment
        said_live = found.mean >= 0.5
        rows = look.present.all(dim=1) & said_live & live[look.rows]
        p = look.estimate.scores[rows]
        votes = p.sort(dim=1, descending=True).values
        columns["entropy"].append(found.uncertainty[rows])
        columns["vote"].append(votes[:, witnesses - 1])
        columns["dissent"].append(1 - votes[:, -1])
    joined = {name: torch.cat(parts).double().numpy() for name, parts in columns.items() if parts}
    return {
        name: tuple(np.clip(np.quantile(values, _SHARES), 0.0, 1.0).tolist())
        for name, values in joined.items()
        if values.size
    }


def _curves(
    gate: Gate, looks: list[_Look], live: Tensor, presentations: NDArray[np.str_]
) -> dict[str, dict[str, tuple[ReliabilityBlock, ...]]]:
    found: dict[tuple[str, str], list[tuple[float, bool, str]]] = {}
    for look in looks:
        verdict = gate.decide(look.estimate, look.present)
        for i in verdict.accept.nonzero().flatten().tolist():
            row, said_live = int(look.rows[i]), bool(verdict.bona_fide[i])
            missing = format_modalities(m for k, m in enumerate(MODALITIES) if not bool(look.present[i, k]))
            label = Label.BONA_FIDE if said_live else Label.ATTACK
            entry = (float(verdict.reliability[i]), said_live == bool(live[row]), str(presentations[row]))
            found.setdefault((missing, label.value), []).append(entry)
    curves: dict[str, dict[str, tuple[ReliabilityBlock, ...]]] = {}
    for (missing, name), entries in sorted(found.items()):
        raw, right, units = zip(*entries, strict=True)
        blocks = fit_claims(raw, right, units)
        curves.setdefault(missing, {})[name] = tuple(ReliabilityBlock(**asdict(block)) for block in blocks)
    return curves
