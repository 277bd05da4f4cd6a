"""Queries made from a few real captures: near them, where the clone is unsure, and unlike each other.

After the strategies of model stealing on graphs (arXiv 2312.10943): AU (authentic, uncertain), AD (authentic,
diverse), AUD (both). Carried over to captures: a step along the slope of the clone's entropy, and mixup with one share
for all modalities.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from mfas.audit.space import Ball, Budgets
from mfas.audit.victim import Victim, chunks
from mfas.core import MODALITIES, Batch, CaptureIds, Modality
from mfas.models.uncertainty import binary_entropy

Strategy = Literal["uncertain", "diverse", "both"]


def make_queries(
    clone: Victim, pool: Batch, count: int, strategy: Strategy, budgets: Budgets, generator: torch.Generator
) -> Batch:
    """``count`` queries out of the captures in ``pool``."""
    drawn = _draw(pool, count, generator)
    if strategy != "uncertain":
        drawn = mix(drawn, _draw(pool, count, generator), generator)
    return drawn if strategy == "diverse" else unsure(clone, drawn, budgets)


def unsure(clone: Victim, batch: Batch, budgets: Budgets, chunk: int = 50) -> Batch:
    """Every pixel moved by the whole of its budget in the direction in which the clone's entropy grows."""
    parts = [batch.select(rows) for rows in chunks(len(batch), chunk)]
    return join([_one_step(clone, part, budgets) for part in parts])


def _one_step(clone: Victim, batch: Batch, budgets: Budgets) -> Batch:
    ball = Ball(batch, clone.card.preprocess, budgets, dict.fromkeys(batch.images, 1.0))
    asked = {m: x.detach().requires_grad_(True) for m, x in ball.clean.items()}
    with clone.open(), torch.enable_grad():
        entropy = binary_entropy(torch.sigmoid(clone.output(Batch(asked, batch.present, batch.ids)).logit))
        slopes = torch.autograd.grad(entropy.sum(), list(asked.values()), allow_unused=True)
    moved = {}
    for (modality, x), slope in zip(ball.clean.items(), slopes, strict=True):
        step = torch.zeros_like(x) if slope is None else ball.width[modality] * slope.sign()
        moved[modality] = ball.project(modality, x + step)
    return Batch(moved, batch.present, batch.ids)


def mix(first: Batch, second: Batch, generator: torch.Generator) -> Batch:
    """Each capture of ``first`` mixed with its partner, shares from Beta(1, 1), the same share in every modality.

    What only one of the two has stays away, unless nothing else is left. Depth is measured where the heavier of the
    two was.
    """
    share = torch.rand(len(first), generator=generator)
    both = first.present & second.present
    lone = ~both.any(dim=1)
    present = torch.where(lone[:, None], first.present, both)
    share = torch.where(lone, torch.zeros_like(share), share).view(-1, 1, 1, 1)
    images = {}
    for column, modality in enumerate(MODALITIES):
        if modality not in first.images or modality not in second.images:
            continue
        mixed = _blend(first.images[modality], second.images[modality], share, modality)
        images[modality] = mixed * present[:, column].view(-1, 1, 1, 1)
    return Batch(images, present, first.ids)


def _blend(first: Tensor, second: Tensor, share: Tensor, modality: Modality) -> Tensor:
    if modality is not Modality.DEPTH:
        return torch.lerp(first, second, share.expand_as(first))
    own, new = (1 - share) * first[:, 1:2], share * second[:, 1:2]
    weight = own + new
    valid = (weight >= 0.5).to(first)
    depth = (own * first[:, :1] + new * second[:, :1]) / weight.clamp_min(1e-6)
    return torch.cat([depth * valid, valid], dim=1)


def join(parts: list[Batch]) -> Batch:
    """One batch out of several with the same modalities, queries numbered anew."""
    names = [m for m in MODALITIES if all(m in part.images for part in parts)]
    present = torch.cat([part.present for part in parts])
    images = {m: torch.cat([part.images[m] for part in parts]) for m in names}
    return Batch(images, present, CaptureIds.anonymous(len(present)))


def _draw(pool: Batch, count: int, generator: torch.Generator) -> Batch:
    """Every capture of the pool in a random order before any comes again."""
    rounds = -(-count // len(pool))
    order = torch.cat([torch.randperm(len(pool), generator=generator) for _ in range(rounds)])
    return pool.select(order[:count])
