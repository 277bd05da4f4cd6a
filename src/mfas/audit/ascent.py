"""Projected gradient ascent with random restarts (Madry et al., ICLR 2018): the one search behind every perturbation.

A longer run begins like a shorter one, and the best image so far is kept: more steps and more restarts are never worse.
The first start is the clean image, so no result is worse than doing nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from pydantic import Field
from torch import Tensor

from mfas.audit.space import Ball, Budgets, Images
from mfas.config import Config
from mfas.core import Batch
from mfas.errors import InputError

Objective = Callable[[Batch], Tensor]
"""What an attacker wants, ``[B]``, higher = more of it; differentiable in the images, each capture for itself."""


class AscentSettings(Config):
    """Length of a search: ``steps`` of ``restarts`` runs, the first from the clean image."""

    steps: int = Field(10, ge=1)
    restarts: int = Field(2, ge=1)
    first_step: float = Field(0.5, gt=0, le=2, description="of the budget; step t is this over the root of 1 + t")
    budget: Budgets = Budgets()


@dataclass(frozen=True, slots=True)
class Found:
    """The best images of a search, its objective there and at the clean images, ``[B]`` each."""

    batch: Batch
    value: Tensor
    clean: Tensor


def ascend(batch: Batch, ball: Ball, objective: Objective, settings: AscentSettings, seed: int = 0) -> Found:
    """Search the ball for the images of the highest ``objective``, capture by capture.

    Signed steps fall with the root of their number, whatever the length. Raises `InputError` when the objective has no
    slope in the images.
    """
    best: Images = {m: x.clone() for m, x in ball.clean.items()}
    value: Tensor | None = None
    clean: Tensor | None = None
    for restart in range(settings.restarts):
        start = ball.clean if restart == 0 else ball.random(_generator(seed, restart))
        images = {m: x.clone() for m, x in start.items()}
        for step in range(settings.steps + 1):
            now, slopes = _look(batch, images, objective, last=step == settings.steps)
            if value is None or clean is None:
                value, clean = now.clone(), now.clone()
            better = now > value
            value = torch.where(better, now, value)
            rate = settings.first_step / (1 + step) ** 0.5
            for modality, x in images.items():
                best[modality][better] = x[better]
                if slopes is not None:
                    moved = x + rate * ball.width[modality] * slopes[modality].sign()
                    images[modality] = ball.project(modality, moved)
    assert value is not None
    assert clean is not None
    return Found(replace(batch, images={**batch.images, **best}), value, clean)


def _look(batch: Batch, images: Images, objective: Objective, *, last: bool) -> tuple[Tensor, Images | None]:
    """The objective at ``images`` and, unless it is the ``last`` look, its slopes there."""
    if last or not images:
        with torch.no_grad():
            return objective(replace(batch, images={**batch.images, **images})).detach(), None
    names = list(images)
    asked = {m: x.detach().requires_grad_(True) for m, x in images.items()}
    with torch.enable_grad():
        value = objective(replace(batch, images={**batch.images, **asked}))
    if not value.requires_grad:
        raise InputError("expected a model whose score has gradients with respect to its images, got one without")
    slopes = torch.autograd.grad(value.sum(), [asked[m] for m in names], allow_unused=True)
    found = {m: torch.zeros_like(asked[m]) if g is None else g for m, g in zip(names, slopes, strict=True)}
    return value.detach(), found


def _generator(seed: int, restart: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 1_000_003 + restart)
