"""Where a model looks: signed maps per modality, by captum, pooled to cells.

Integrated gradients: Sundararajan, Taly, Yan, *Axiomatic Attribution for Deep Networks* (ICML 2017). The path starts at
the capture with every channel flattened to its mean: nothing to see, but the same light, distance and sensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import torch
from captum.attr import InputXGradient, IntegratedGradients, Saliency
from torch import Tensor
from torch.nn.functional import avg_pool2d

from mfas.core import Batch, CaptureIds, Modality
from mfas.explain.coalitions import ROWS_AT_ONCE, players, tile
from mfas.explain.settings import ExplainSettings
from mfas.explain.shapley import Coalition
from mfas.models.contract import FasModel

CellMaps = dict[Modality, Tensor]
"""Per modality float ``[h, w]``: what its cells add to the fused logit (``gradient``: their absolute slope)."""


def flattened(plane: Tensor) -> Tensor:
    """Images ``[B, C, S, S]`` with every channel at its own mean: what a deleted cell shows."""
    return plane.mean(dim=(2, 3), keepdim=True).expand_as(plane)


def cell_side(size: int, cells: int) -> int:
    """Pixels of a cell's side, so that there are at most ``cells`` across.

    >>> cell_side(112, 14), cell_side(48, 14)
    (8, 4)
    """
    return ceil(size / cells)


def cell_maps(
    model: FasModel, batch: Batch, patterns: Sequence[Coalition], settings: ExplainSettings
) -> dict[Coalition, CellMaps]:
    """Maps of one capture under each of ``patterns``, of the modalities in it; the model must be in eval mode."""
    names = players(batch)
    tiled, base = tile(batch, patterns), tile(_flat(batch), patterns)
    inputs = tuple(tiled.images[m] for m in names)
    origin = tuple(base.images[m] for m in names)
    side = cell_side(inputs[0].shape[-1], settings.cells)
    pixels = _attribute(model, names, inputs, origin, tiled.present, settings)
    found: dict[Coalition, CellMaps] = {some: {} for some in patterns}
    for m, attribution in zip(names, pixels, strict=True):
        summed = attribution.detach().sum(dim=1, keepdim=True)
        pooled = avg_pool2d(summed, side, ceil_mode=True, divisor_override=1)[:, 0]
        for some, cells in zip(patterns, pooled, strict=True):
            if m in some:
                found[some][m] = cells
    return found


def _flat(batch: Batch) -> Batch:
    return Batch({m: flattened(x) for m, x in batch.images.items()}, batch.present, batch.ids)


def _attribute(
    model: FasModel,
    names: Sequence[Modality],
    inputs: tuple[Tensor, ...],
    origin: tuple[Tensor, ...],
    present: Tensor,
    settings: ExplainSettings,
) -> tuple[Tensor, ...]:
    def fused(*given: Tensor) -> Tensor:
        *planes, here = given
        some = Batch(dict(zip(names, planes, strict=True)), here, CaptureIds.anonymous(len(here)))
        # A network need not look at every modality it is given, and captum asks for the gradient of each.
        unread = torch.stack([plane.sum() for plane in planes]).sum() * 0.0
        logit: Tensor = model(some).logit + unread
        return logit

    found: tuple[Tensor, ...]
    if settings.saliency == "integrated_gradients":
        found = IntegratedGradients(fused).attribute(
            inputs,
            baselines=origin,
            additional_forward_args=(present,),
            n_steps=settings.steps,
            internal_batch_size=max(ROWS_AT_ONCE, len(present)),
        )
        return found
    leaves = tuple(plane.detach().requires_grad_() for plane in inputs)
    if settings.saliency == "input_x_gradient":
        found = InputXGradient(fused).attribute(leaves, additional_forward_args=(present,))
    else:
        found = Saliency(fused).attribute(leaves, abs=True, additional_forward_args=(present,))
    return found
