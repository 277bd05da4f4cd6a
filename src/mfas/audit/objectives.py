"""What an attacker may be after, as objectives for `mfas.audit.ascent`. All are of attacks that shall pass as living.

The four kinds follow the Modality Unified Attack (arXiv 2501.12761): per modality, through the wrong modality's
network, and together. The last two know the evidence gate and the threshold's correction of an adapting model.
"""

from __future__ import annotations

from math import log

import torch
from scipy.optimize import brentq
from torch import Tensor
from torch.nn.functional import cosine_similarity, logsigmoid

from mfas.adaptation.gate import GateSettings, limits_of
from mfas.adaptation.hold import HoldSettings
from mfas.audit.ascent import Objective
from mfas.audit.space import movable
from mfas.audit.victim import Prototypes, Victim, missing_of
from mfas.card import Card, Preprocess
from mfas.core import MODALITIES, Batch, Modality
from mfas.models.contract import ModelOutput

_LUMA = (0.299, 0.587, 0.114)


def fused(victim: Victim) -> Objective:
    """The fused logit: accepted or not is decided by it alone."""
    return lambda batch: victim.output(batch).logit


def collaborative(victim: Victim, live: Prototypes, weight: float) -> Objective:
    """The fused logit, and ``weight`` times the mean cosine of observed features to the live prototype ``[D]``."""

    def value(batch: Batch) -> Tensor:
        output = victim.output(batch)
        return output.logit + weight * _nearness(output, live)

    return value


def _nearness(output: ModelOutput, live: Prototypes) -> Tensor:
    near = [
        cosine_similarity(output.features[m], live[m][None], dim=1) * output.present[:, column]
        for column, m in enumerate(MODALITIES)
        if m in live and m in output.features
    ]
    return torch.stack(near).sum(dim=0) / output.present.sum(dim=1).clamp_min(1)


def cross_slot(victim: Victim, modality: Modality) -> Objective:
    """Sum over slots n of ln p(live) by head n of the image of ``modality`` shown to the network of n.

    In its own slot the image is as it is; in another it is taken to grey and from there to the channels of n
    (`to_grey`, `from_grey`).
    """
    spec = victim.card.preprocess

    def value(batch: Batch) -> Tensor:
        rows = batch.present[:, MODALITIES.index(modality)].nonzero().flatten()
        some = batch.select(rows)
        grey = to_grey(some, modality, spec)
        total = torch.zeros(len(batch))
        for column, slot in enumerate(MODALITIES):
            if len(some) and slot in victim.card.modalities:
                image = some.images[modality] if slot is modality else from_grey(grey, slot, spec)
                only = torch.zeros_like(some.present)
                only[:, column] = True
                logits = victim.output(Batch({slot: image}, only, some.ids)).modality_logits[:, column]
                total = total.index_add(0, rows, logsigmoid(logits))
        return total

    return value


def to_grey(batch: Batch, modality: Modality, spec: Preprocess) -> Tensor:
    """Network input of a modality as grey ``[B, 1, H, W]`` in [0, 1]: luminance, nearness (holes 0), or brightness."""
    images = batch.images[modality]
    if modality is Modality.RGB:
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (spec.rgb_mean, spec.rgb_std))
        return ((images * std + mean) * torch.tensor(_LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    if modality is Modality.DEPTH:
        return (1 - images[:, :1]) / 2 * movable(batch, modality)[:, :1]
    return (images * spec.ir_std + spec.ir_mean) / spec.ir_clip


def from_grey(grey: Tensor, modality: Modality, spec: Preprocess) -> Tensor:
    """Grey ``[B, 1, H, W]`` in [0, 1] as network input ``[B, C, H, W]`` of a modality; depth is measured everywhere."""
    if modality is Modality.RGB:
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (spec.rgb_mean, spec.rgb_std))
        return (grey.expand(-1, 3, -1, -1) - mean) / std
    if modality is Modality.DEPTH:
        return torch.cat([1 - 2 * grey, torch.ones_like(grey)], dim=1)
    return (grey * spec.ir_clip - spec.ir_mean) / spec.ir_std


def pseudo_label(victim: Victim, *, unwatched: bool = False) -> Objective:
    """How far a capture is from being accepted *and* taught as a living face: a smooth minimum of what that takes.

    Every observed head must reach the gate's vote and its entropy limit, and the fused logit the threshold. With
    ``unwatched`` it must exceed the threshold by the hold's margin, beyond which no correction of the threshold looks.
    Where it is positive and two modalities are observed, the gate (estimator ``entropy``) accepts; the gate itself asks
    a little less.
    """
    need = vote_needed(victim.card)
    centre = torch.tensor([victim.card.gate.get(f"centre.{m.value}", 0.0) for m in MODALITIES])
    above = HoldSettings().margin if unwatched else 0.0

    def value(batch: Batch) -> Tensor:
        output = victim.output(batch)
        heads = (output.modality_logits - centre - need).masked_fill(~batch.present, torch.inf)
        margin = output.logit - threshold_logits(victim.card, batch) - above
        slack = torch.cat([heads, margin[:, None]], dim=1)
        return -torch.logsumexp(-slack.clamp_max(40.0), dim=1)

    return value


def vote_needed(card: Card) -> float:
    """The logit at which one more head alone neither lacks a vote nor leaves the mean too uncertain."""
    limits = limits_of(GateSettings(), card)

    def excess(p: float) -> float:
        entropy = -(p * log(p) + (1 - p) * log(1 - p)) / log(2)
        return entropy - limits.max_entropy_fraction

    sure = 0.5 if excess(0.5) <= 0 else float(brentq(excess, 0.5, 1 - 1e-9))
    p = max(sure, limits.min_vote)
    return log(p / (1 - p))


def threshold_logits(card: Card, batch: Batch) -> Tensor:
    """The card's threshold of each capture's own pattern, as a logit ``[B]``."""
    p = torch.tensor([card.threshold(missing_of(row)) for row in batch.present]).clamp(1e-6, 1 - 1e-6)
    return torch.logit(p)
