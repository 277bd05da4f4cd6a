"""Terms of SDA-FAS as pure functions: prototypes of the heads, contrast to them, torn images, agreement of views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.nn.functional import cosine_similarity

from mfas.adaptation.pool import MapPool
from mfas.core import MODALITIES, Batch, Modality
from mfas.models.contract import FasModel


def prototypes(model: FasModel, pool: MapPool) -> dict[Modality, Tensor]:
    r"""The direction ``[D]`` in which each modality's head scores higher: the weight $w$ of a linear head.

    A head of one logit is a softmax over two with weights $\pm w / 2$, so bona fide stands at $w$, attack at $-w$.
    """
    with torch.no_grad():
        features = model.upper(*pool.take(torch.zeros(1, dtype=torch.long))).features
    blank = {m: torch.zeros_like(x).requires_grad_(True) for m, x in features.items()}
    with torch.enable_grad():
        logits = model.heads(blank, torch.ones(1, len(MODALITIES), dtype=torch.bool))
        slopes = torch.autograd.grad(logits.sum(), [blank[m] for m in MODALITIES])
    return {m: slope[0].detach() for m, slope in zip(MODALITIES, slopes, strict=True)}


def contrast(
    features: Mapping[Modality, Tensor],
    towards: Mapping[Modality, Tensor],
    present: Tensor,
    genuine: Tensor,
    temperature: float,
) -> Tensor:
    r"""$-\ln \frac{e^{c_y/\tau}}{e^{c_1/\tau} + e^{c_0/\tau}}$ ``[B]``, mean over observed modalities.

    $c_1 = -c_0 = \cos(f_m, w_m)$, so each modality is a cross-entropy with logit $2 c_1 / \tau$; ``genuine`` bool
    ``[B]`` is $y$.
    """
    cosines = torch.stack([cosine_similarity(features[m], towards[m][None], dim=1) for m in MODALITIES], dim=1)
    goal = genuine.to(cosines.dtype)[:, None].expand_as(cosines)
    losses = bce(2 * cosines / temperature, goal, reduction="none") * present
    return losses.sum(dim=1) / present.sum(dim=1)


def destroyed(batch: Batch, grid: int, generator: torch.Generator) -> Batch:
    """``batch`` with the images cut into ``grid`` x ``grid`` patches that are shuffled: one order for all modalities.

    Rows and columns that do not fill a patch stay where they are.
    """
    order = torch.randperm(grid * grid, generator=generator)
    return Batch({m: _torn(x, grid, order) for m, x in batch.images.items()}, batch.present, batch.ids)


def _torn(images: Tensor, grid: int, order: Tensor) -> Tensor:
    height, width = (size // grid for size in images.shape[2:])
    out = images.clone()
    for place, origin in enumerate(order.tolist()):
        (top, left), (y, x) = divmod(place, grid), divmod(origin, grid)
        patch = images[:, :, y * height : (y + 1) * height, x * width : (x + 1) * width]
        out[:, :, top * height : (top + 1) * height, left * width : (left + 1) * width] = patch
    return out


def self_distillation(logits: Sequence[Tensor], goals: Sequence[Tensor]) -> Tensor:
    """Mean cross-entropy of each of two views with the teacher's soft label ``[B]`` of the *other* one."""
    (whole, torn), (of_whole, of_torn) = logits, goals
    return 0.5 * bce(torn, of_whole) + 0.5 * bce(whole, of_torn)
