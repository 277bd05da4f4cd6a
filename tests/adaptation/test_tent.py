"""TENT: its loss and gradient against a formula, and the collapse it is known for."""

from __future__ import annotations

from copy import deepcopy
from math import exp, log

import pytest
import torch
from torch import nn

import by_hand
from mfas.adaptation import registry
from mfas.adaptation.tent import entropy
from mfas.core import MODALITIES
from toys import Micro, batch, card, every_pattern, micro_batch, trained


@pytest.mark.parametrize("z", [-3.0, -0.5, 0.0, 1.0, 4.0])
def test_entropy_and_slope_by_hand(z: float) -> None:
    """H = -p ln p - q ln q; with dp/dz = pq and ln p - ln q = z, dH/dz = -z p q."""
    p, q = 1 / (1 + exp(-z)), 1 / (1 + exp(z))
    logit = torch.tensor(z, dtype=torch.float64, requires_grad=True)
    loss = entropy(logit)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(-p * log(p) - q * log(q), abs=1e-12)
    assert float(logit.grad) == pytest.approx(-z * p * q, abs=1e-12)


def test_entropy_of_saturated_scores_is_finite() -> None:
    logit = torch.tensor([-200.0, 200.0], requires_grad=True)
    entropy(logit).sum().backward()
    assert logit.grad is not None
    assert logit.grad.tolist() == pytest.approx([0.0, 0.0])


def test_first_step_follows_the_batch_mean_of_entropy() -> None:
    """Adam's first step has length ``learning_rate`` against the sign of the gradient, here by differences."""
    model, rate, some = trained(steps=4), 1e-3, batch(6, seed=3)
    name = "trunks.encoders.rgb.low.0.norm.bias"
    value = model.state_dict()[name]
    with torch.no_grad():
        mean = []
        for nudge in (1e-2, -1e-2):
            value[0] += nudge
            mean.append(float(entropy(model(some).logit.double()).mean()))
            value[0] -= nudge
        loss = float(entropy(model(some).logit).mean())
    before = float(value[0])
    adapter = registry.create("tent", model, card(), {"learning_rate": rate})
    _, report = adapter.step(some)
    assert report.loss == pytest.approx(loss, rel=1e-4)
    slope = mean[0] - mean[1]
    assert slope != 0
    assert float(value[0]) - before == pytest.approx(-rate if slope > 0 else rate, rel=1e-2)


def test_a_one_sided_stream_collapses_to_its_class() -> None:
    """A hesitant model rejects every attack; twenty batches of bona fide captures later it accepts every one."""
    adapter = registry.create("tent", trained(steps=4), card())
    attacks = batch(50, seed=999, target=torch.zeros(50))
    assert float((adapter.predict(attacks).score >= 0.5).float().mean()) == 0.0
    for i in range(20):
        adapter.step(batch(10, seed=i, target=torch.ones(10), first=10 * i))
    assert float((adapter.predict(attacks).score >= 0.5).float().mean()) == 1.0


def test_missing_modalities_get_no_gradient() -> None:
    adapter = registry.create("tent", trained("late_fusion", steps=1), card("late_fusion"))
    only_rgb = torch.tensor([[True, False, False]]).expand(6, 3)
    before = {k: v.clone() for k, v in adapter.model.state_dict().items()}
    adapter.step(batch(6, present=only_rgb))
    moved = {k for k, v in adapter.model.state_dict().items() if not torch.equal(v, before[k])}
    assert moved
    assert all(f".{m.value}." not in name for name in moved for m in MODALITIES[1:])


def test_loss_and_gradient_of_a_batch_by_hand() -> None:
    """After one step Adam's first moment is 0.1 of the gradient: mean of dH/dz dz/dtheta."""
    levels = [0.002, -0.0012, 0.0005, -0.0001]
    adapter = registry.create("tent", Micro(), card())
    report = adapter.step(micro_batch(*levels))[1]
    z = by_hand.logit(levels)
    assert report.loss == pytest.approx(by_hand.entropy(z).mean(), rel=1e-4)
    gradient = by_hand.theta_of(adapter.state().tensors, "optimiser.exp_avg.") / 0.1
    assert gradient == pytest.approx(by_hand.entropy_slope(z) @ by_hand.slopes(levels) / 4, rel=1e-3)


def test_with_batch_norm_it_is_the_published_method() -> None:
    """Against torch's own training mode without running statistics, under every pattern of modalities."""
    some, source = batch(9, seed=3, present=every_pattern().repeat(2, 1)[:9]), trained(steps=4, norm="batch")
    published = deepcopy(source)
    for layer in published.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.train()
            layer.track_running_stats = False
            layer.running_mean = layer.running_var = None
    adapter = registry.create("tent", source, card())
    assert not adapter.batch_independent
    own = published.requires_grad_(True)(some)
    loss = entropy(own.logit).mean()
    loss.backward()
    prediction, report = adapter.step(some)
    assert torch.allclose(prediction.score, torch.sigmoid(own.logit), atol=1e-5)
    assert report.loss == pytest.approx(loss.item(), rel=1e-4)
    found, slopes = adapter.state().tensors, dict(published.named_parameters())
    assert {"weight", "bias"} == {name.rpartition(".")[2] for name in adapter.adapted_parameters}
    for name in adapter.adapted_parameters:
        assert ".low." in name or ".high." in name, "BatchNorm layers alone move"
        slope = slopes[name].grad
        assert slope is not None
        assert torch.allclose(found[f"optimiser.exp_avg.{name}"] / 0.1, slope, rtol=1e-2, atol=1e-5)
