"""Source training on captures that a white-box attacker has touched: the same budgets as the audit, one step.

One signed step from a random start (Wong, Rice and Kolter, "Fast is better than free", ICLR 2020, algorithm 3). Theirs
raises the training loss of one network; here it moves the fused logit and the logits of the observed heads together,
towards the wrong class, within the budget of each sensor. A model trained so has to be judged by a longer search than
it was trained against: `mfas.audit.strength` asks whether more steps find more.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from mfas.audit.space import Ball, Budgets, Images
from mfas.card import Preprocess
from mfas.config import Config
from mfas.core import MODALITIES, Batch
from mfas.errors import InputError
from mfas.models.contract import FasModel, Shard


class NoiseConfig(Config):
    """``share`` of the captures of each batch that are perturbed (0 = none), all modalities within ``budget``.

    ``of``: attacks alone, towards living, as whoever wants to be let in would have it; or both classes, each towards
    the other. ``step`` of the budget from a random start; the result stays within the budget.
    """

    share: float = Field(0.0, ge=0, le=1)
    of: Literal["attack", "both"] = "attack"
    step: float = Field(1.25, gt=0, le=2)
    budget: Budgets = Budgets()


class TrainingNoise:
    """Perturbs a part of each batch against the model as it is at that step."""

    def __init__(self, config: NoiseConfig, spec: Preprocess, seed: int = 0) -> None:
        self.config, self.spec, self.seed = config, spec, seed

    def __call__(self, model: FasModel, batch: Batch, target: Tensor, shard: Shard, step: int) -> Batch:
        """See `mfas.training.loop.Disturb`; which captures, and where they start, depends on seed and ``step``.

        Raises `InputError` for a model without slopes, such as one whose frozen trunk runs without gradient.
        """
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        drawn = shard.draw(len(batch), lambda count: torch.rand(count, generator=generator))
        chosen = (drawn < self.config.share).to(target.device)
        if self.config.of == "attack":
            chosen &= target < 0.5
        rows = chosen.nonzero().flatten()
        if not len(rows):
            return batch
        some = batch.select(rows)
        moved = self._moved(model, some, 1 - 2 * target[rows], generator)
        images = {m: x.index_copy(0, rows, moved[m].to(x.dtype)) for m, x in batch.images.items()}
        return replace(batch, images=images)

    def _moved(self, model: FasModel, batch: Batch, sign: Tensor, generator: torch.Generator) -> Images:
        """One step that raises ``sign`` times the logits; the model is asked in eval mode, as it will be deployed."""
        ball = Ball(batch, self.spec, self.config.budget, dict.fromkeys(MODALITIES, 1.0))
        start = {m: x.requires_grad_(True) for m, x in ball.random(generator).items()}
        learning = model.training
        model.eval()
        try:
            with torch.enable_grad():
                output = model(replace(batch, images={**batch.images, **start}))
                heads = output.modality_logits * output.present
                value = output.logit + heads.sum(dim=1) / output.present.sum(dim=1).clamp_min(1)
                slopes = torch.autograd.grad((sign * value).sum(), list(start.values()), allow_unused=True)
        finally:
            model.train(learning)
        if all(slope is None for slope in slopes):
            raise InputError("expected a model whose score has gradients with respect to its images, got one without")
        out: Images = {}
        for (modality, x), slope in zip(start.items(), slopes, strict=True):
            step = 0.0 if slope is None else self.config.step * ball.width[modality] * slope.sign()
            out[modality] = ball.project(modality, x.detach() + step)
        return out
