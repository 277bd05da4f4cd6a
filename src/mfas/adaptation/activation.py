"""Activation maps of a modality's own head (Grad-CAM, Selvaraju et al., ICCV 2017), and what 3A-TTA reads off.

With one logit $z$ per head the map for bona fide is that of $z$ and the map for attack that of $-z$.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import isqrt
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from mfas.core import Modality
from mfas.models.contract import FasModel

_TINY = 1e-8


def activation_maps(features: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    r"""Maps for bona fide and attack, ``[B, h, w]`` each, of ``features`` ``[B, C, h, w]``.

    ``slope`` is the derivative of the head's logit with respect to ``features``. With $\alpha_k$ the mean slope of
    channel $k$ they are $\max(0, \sum_k \alpha_k F_k)$ and $\max(0, -\sum_k \alpha_k F_k)$.
    """
    evidence = (slope.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1)
    return evidence.relu(), (-evidence).relu()


def likeness(first: Tensor, second: Tensor) -> Tensor:
    """Mean over rows of the cosine between two maps ``[B, h, w]``, each scaled to [0, 1] by itself first; ``[B]``.

    A constant map has a likeness of 0 with anything.
    """
    return cosine_similarity(_unit(first), _unit(second), dim=2).mean(dim=1)


def attention_difference(features: Tensor, slope: Tensor) -> Tensor:
    """How much more the features' mean map looks like the bona fide map than like the attack map; ``[B]`` in [-1, 1].

    Its sign is the activation-based pseudo label.
    """
    bona_fide, attack = activation_maps(features, slope)
    mean = features.mean(dim=1)
    return likeness(mean, bona_fide) - likeness(mean, attack)


@contextmanager
def last_map(model: FasModel, modality: Modality) -> Iterator[list[Tensor]]:
    """Inside, the last map that the upper modules of ``modality`` give out is put into the list, with its graph."""
    found: list[Tensor] = []

    def keep(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> None:
        if output.ndim > 2:
            found[:] = [output]

    hooks = [module.register_forward_hook(keep) for module in model.upper_modules(modality)]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def as_grid(features: Tensor) -> Tensor:
    """``[B, C, h, w]`` as it is; tokens ``[B, N, C]`` as a square grid, or as one row where N is not a square."""
    if features.ndim == 4:
        return features
    count, tokens, channels = features.shape
    side = isqrt(tokens)
    rows = side if side * side == tokens else 1
    return features.transpose(1, 2).reshape(count, channels, rows, -1)


def _unit(x: Tensor) -> Tensor:
    low, high = x.amin(dim=(1, 2), keepdim=True), x.amax(dim=(1, 2), keepdim=True)
    return (x - low) / (high - low + _TINY)
