"""A minimal attack on pixels for `benchmarks/smoothing.py`: one start, few steps, no tricks."""

from __future__ import annotations

import torch

from mfas.core import Batch, Modality
from mfas.models.contract import FasModel

BUDGET = {Modality.RGB: 8 / 255, Modality.DEPTH: 4 / 255, Modality.IR: 8 / 255}
"""Largest change of a pixel, as a share of the range that a network sees of the sensor."""


def perturbed(model: FasModel, batch: Batch, steps: int, seed: int) -> Batch:
    """Projected sign ascent on the fused logit from a random start, within `BUDGET` and the range of each sensor.

    Holes of depth and the validity channel stay as they are. The model's parameters must need no gradient.
    """
    generator, spec = torch.Generator().manual_seed(seed), model.spec
    mean, std = torch.tensor(spec.rgb_mean)[:, None, None], torch.tensor(spec.rgb_std)[:, None, None]
    dark = torch.tensor(-spec.ir_mean / spec.ir_std)
    bounds = {
        Modality.RGB: (-mean / std, (1 - mean) / std),
        Modality.DEPTH: (torch.tensor(-1.0), torch.tensor(1.0)),
        Modality.IR: (dark, dark + spec.ir_clip / spec.ir_std),
    }
    radius = {m: BUDGET[m] * (bounds[m][1] - bounds[m][0]) * torch.ones_like(x) for m, x in batch.images.items()}
    if Modality.DEPTH in radius:
        radius[Modality.DEPTH] *= batch.images[Modality.DEPTH][:, 1:]
        radius[Modality.DEPTH][:, 1] = 0
    moved = {m: x + radius[m] * (2 * torch.rand(x.shape, generator=generator) - 1) for m, x in batch.images.items()}
    for _ in range(steps):
        live = {m: x.detach().requires_grad_() for m, x in moved.items()}
        logit = model(Batch(live, batch.present, batch.ids)).logit
        slopes = torch.autograd.grad(logit.sum(), list(live.values()))
        for (m, x), slope in zip(live.items(), slopes, strict=True):
            stepped = x.detach() + 2.5 / steps * radius[m] * slope.sign()
            inside = torch.clamp(stepped, batch.images[m] - radius[m], batch.images[m] + radius[m])
            moved[m] = torch.maximum(torch.minimum(inside, bounds[m][1]), bounds[m][0])
    return Batch({m: x.detach() for m, x in moved.items()}, batch.present, batch.ids)
