"""BatchNorm statistics against numpy, from the captures that have a modality only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mfas.adaptation import registry
from mfas.core import MODALITIES
from toys import batch, card, every_pattern, tiny_model


def seen(model: nn.Module, layer: nn.Module) -> list[tuple[np.ndarray, np.ndarray]]:
    """Fills with input and output of ``layer`` whenever it runs."""
    kept: list[tuple[np.ndarray, np.ndarray]] = []

    def keep(_: nn.Module, given: tuple[Any, ...], out: Tensor) -> None:
        kept.append((given[0].detach().double().numpy(), out.detach().double().numpy()))

    layer.register_forward_hook(keep)
    return kept


@pytest.mark.parametrize("count", [0.0, 16.0])
def test_statistics_are_those_of_numpy(count: float) -> None:
    model = tiny_model("late_fusion", norm="batch")
    layer = model.get_submodule("trunks.encoders.depth.low.1.norm")
    assert isinstance(layer, nn.BatchNorm2d)
    with torch.no_grad():
        for tensor, low, high in (
            (layer.running_mean, -1, 1),
            (layer.running_var, 0.5, 2),
            (layer.weight, 1, 2),
            (layer.bias, -1, 1),
        ):
            assert tensor is not None
            tensor.uniform_(low, high)
    kept = seen(model, layer)
    adapter = registry.create("bn_stats", model, card("late_fusion"), {"source_count": count})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    adapter.step(batch(7, present=every_pattern()))
    ((x, y),) = kept
    own = every_pattern()[:, MODALITIES.index("depth")].sum()
    assert len(x) == own, "captures without depth must not be normalised with"
    share = count / (count + len(x))
    source = [np.asarray(t.double()) for t in (layer.running_mean, layer.running_var)]
    mean = share * source[0] + (1 - share) * x.mean(axis=(0, 2, 3))
    variance = share * source[1] + (1 - share) * x.var(axis=(0, 2, 3))
    scale, shift = (t.detach().double().numpy()[:, None, None] for t in (layer.weight, layer.bias))
    expected = (x - mean[:, None, None]) / np.sqrt(variance + layer.eps)[:, None, None] * scale + shift
    assert np.allclose(y, expected, atol=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_heavy_source_is_the_source() -> None:
    model, some = tiny_model(norm="batch"), batch(6)
    plain = model.predict(some).score
    adapter = registry.create("bn_stats", model, card(), {"source_count": 1e9})
    assert torch.allclose(adapter.predict(some).score, plain, atol=1e-5)
    light = registry.create("bn_stats", model, card(), {"source_count": 0})
    assert not torch.allclose(light.predict(some).score, plain, atol=1e-3)
