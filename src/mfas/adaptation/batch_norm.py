"""BatchNorm that normalises by the batch in hand, alone or mixed with the source: nothing is written to its buffers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from torch import Tensor, nn

from mfas.models.contract import FasModel


def batch_norms(model: FasModel) -> tuple[nn.BatchNorm2d, ...]:
    """Every BatchNorm layer of ``model``."""
    return tuple(module for module in model.modules() if isinstance(module, nn.BatchNorm2d))


@contextmanager
def batch_statistics(model: FasModel, source_count: float = 0.0) -> Iterator[None]:
    """Inside, BatchNorm layers use `mixed_statistics` of what they are given; gradients flow through them.

    Encoders are run on the captures that have their modality, so absent ones never enter a statistic.
    """
    layers = batch_norms(model)
    for layer in layers:
        layer.forward = partial(_normalise, layer, source_count)  # type: ignore[method-assign]  # this instance only
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def mixed_statistics(layer: nn.BatchNorm2d, x: Tensor, source_count: float) -> tuple[Tensor, Tensor]:
    r"""Mean and variance per channel for maps ``x`` ``[n, C, h, w]``, biased variance as in training.

    Schneider et al. (NeurIPS 2020): with $N$ = ``source_count``, $\mu = (N \mu_s + n \mu_b) / (N + n)$,
    and the same for $\sigma^2$. $N = 0$ is the batch alone (Nado et al. 2020).
    """
    assert layer.running_mean is not None
    assert layer.running_var is not None
    axes = [axis for axis in range(x.dim()) if axis != 1]
    share = source_count / (source_count + x.shape[0])
    mean = share * layer.running_mean + (1 - share) * x.mean(axes)
    variance = share * layer.running_var + (1 - share) * x.var(axes, unbiased=False)
    return mean, variance


def _normalise(layer: nn.BatchNorm2d, source_count: float, x: Tensor) -> Tensor:
    mean, variance = mixed_statistics(layer, x, source_count)
    scale = layer.weight * (variance + layer.eps).rsqrt()
    shift = layer.bias - mean * scale
    return x * scale[:, None, None] + shift[:, None, None]
