"""READ: loss and gradient against a formula worked out by hand, and which modality it trusts on a pinned toy."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import by_hand
from mfas.adaptation import registry
from mfas.adaptation.read import confidence_loss
from mfas.adaptation.two_class import prior_divergence
from mfas.config import Config
from mfas.core import MODALITIES, Batch, CaptureIds
from mfas.errors import ConfigError
from mfas.models.contract import FasModel, Maps, ModelOutput
from toys import SPEC, Micro, batch, card, micro_batch, tiny_model, trained


@pytest.mark.parametrize("gamma", [exp(-1), 0.75])
@pytest.mark.parametrize("z", [-3.0, -0.5, 0.4, 1.0, 4.0])
def test_confidence_loss_and_slope_by_hand(z: float, gamma: float) -> None:
    """With p = sigma(|z|): p ln(e gamma / p); dp/dz = sign(z) p (1 - p), d loss / dp = ln(gamma / p)."""
    p = 1 / (1 + exp(-abs(z)))
    logit = torch.tensor(z, dtype=torch.float64, requires_grad=True)
    loss = confidence_loss(logit, gamma)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(p * log(exp(1) * gamma / p), abs=1e-12)
    assert float(logit.grad) == pytest.approx(log(gamma / p) * p * (1 - p) * (1 if z > 0 else -1), abs=1e-12)


def test_unsure_scores_are_doubted_and_sure_ones_sharpened() -> None:
    """gamma 0.75 lies at |z| = ln 3; the published 1/e lies below every winning score and sharpens them all."""
    logit = torch.tensor([0.5, log(3) - 0.05, log(3) + 0.05, 3.0], requires_grad=True)
    for gamma, signs in ((0.75, [1, 1, -1, -1]), (exp(-1), [-1, -1, -1, -1])):
        (slope,) = torch.autograd.grad(confidence_loss(logit, gamma).sum(), logit)
        assert slope.sign().tolist() == signs


@pytest.mark.parametrize("prior", [0.5, 0.9])
def test_balance_and_slope_by_hand(prior: float) -> None:
    """KL of (m, 1 - m) from the prior, m the mean of p_i; slope p_i q_i / B (logit m - logit prior)."""
    z = [-2.0, 0.3, 1.5]
    p = [1 / (1 + exp(-x)) for x in z]
    m = sum(p) / 3
    logit = torch.tensor(z, dtype=torch.float64, requires_grad=True)
    loss = prior_divergence(logit, prior)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(m * log(m / prior) + (1 - m) * log((1 - m) / (1 - prior)), abs=1e-12)
    tilt = log(m / (1 - m)) - log(prior / (1 - prior))
    assert logit.grad is not None
    assert logit.grad.tolist() == pytest.approx([x * (1 - x) / 3 * tilt for x in p], abs=1e-12)


def test_saturated_scores_give_finite_slopes() -> None:
    logit = torch.tensor([-200.0, 200.0, 200.0], requires_grad=True)
    (confidence_loss(logit, 0.75).sum() + prior_divergence(logit, 0.5)).backward()
    assert logit.grad is not None
    assert bool(torch.isfinite(logit.grad).all())


@pytest.mark.parametrize("own", [{}, {"gamma": 0.9, "balance": 3.0, "prior": 0.8}])
def test_loss_and_gradient_of_a_step_by_hand(own: dict[str, float]) -> None:
    """After one step Adam's first moment is 0.1 of the gradient, (3) of the page times dz / d theta."""
    levels = [0.002, -0.0012, 0.0005, -0.0001, 0.0009]
    adapter = registry.create("read", Micro(), card(), own)
    report = adapter.step(micro_batch(*levels))[1]
    gamma, weight, prior = (own.get(key, usual) for key, usual in (("gamma", 0.75), ("balance", 1.0), ("prior", 0.5)))
    z = by_hand.logit(levels)
    p = 1 / (1 + np.exp(-z))
    sure, m = np.maximum(p, 1 - p), p.mean()
    balance = m * np.log(m / prior) + (1 - m) * np.log((1 - m) / (1 - prior))
    assert report.loss == pytest.approx((sure * np.log(np.e * gamma / sure)).mean() + weight * balance, rel=1e-4)
    tilt = np.log(m / (1 - m)) - np.log(prior / (1 - prior))
    slope = p * (1 - p) / len(z) * (np.sign(z) * np.log(gamma / sure) + weight * tilt)
    gradient = by_hand.theta_of(adapter.state().tensors, "optimiser.exp_avg.") / 0.1
    assert gradient == pytest.approx(slope @ by_hand.slopes(levels), rel=1e-3, abs=1e-6)


class Mixed(FasModel):
    """The fused logit is a mean of the images' means, weighted by a softmax: the weights are its only parameters."""

    name = "mixed"

    def __init__(self) -> None:
        super().__init__(SPEC, Config())
        self.trust = nn.Parameter(torch.zeros(3))

    def lower(self, batch: Batch) -> Maps:
        return {m: x.mean(dim=(1, 2, 3)).view(-1, 1, 1, 1) for m, x in batch.images.items()}

    def upper(self, maps: Maps, present: Tensor) -> ModelOutput:
        logits = torch.cat([maps[m].flatten(1) for m in MODALITIES], dim=1)
        logit = (torch.softmax(self.trust, dim=0) * logits).sum(dim=1)
        blank = torch.zeros(present.shape)
        return ModelOutput(logit, logits, {}, {}, present, ~present, blank)

    def fusion_names(self) -> tuple[str, ...]:
        return ("trust",)


def corrupted(count: int, seed: int) -> Batch:
    """Depth and infrared say 4 for bona fide and -4 for attack; RGB says anything around 0."""
    generator = torch.Generator().manual_seed(seed)
    truth = 8 * (torch.arange(count) % 2).float() - 4
    levels = (torch.randn(count, generator=generator), truth, truth)
    images = {
        m: x.view(-1, 1, 1, 1).expand(-1, SPEC.channels(m), 2, 2).contiguous()
        for m, x in zip(MODALITIES, levels, strict=True)
    }
    return Batch(images, torch.ones(count, 3, dtype=torch.bool), CaptureIds.anonymous(count))


def test_the_corrupted_modality_loses_weight() -> None:
    model = Mixed()
    adapter = registry.create("read", model, card(), {"learning_rate": 0.02})
    for i in range(30):
        adapter.step(corrupted(20, i))
    weight = torch.softmax(model.trust, dim=0)
    assert float(weight[0]) < 0.25 < 1 / 3 < float(weight[1]) == pytest.approx(float(weight[2]))


def test_a_one_sided_batch_is_pulled_towards_the_prior_it_is_told() -> None:
    """All captures look bona fide: the published balance takes confidence away, a prior that expects it much less."""
    some = batch(10, seed=3, target=torch.ones(10))
    moved = {}
    for label, own in (("even", {"balance": 5.0}), ("mostly", {"balance": 5.0, "prior": 0.97})):
        adapter = registry.create("read", trained(steps=10), card(), {"learning_rate": 1e-2, **own})
        before = float(adapter.predict(some).score.mean())
        for _ in range(5):
            adapter.step(some)
        moved[label] = float(adapter.predict(some).score.mean()) - before
    assert moved["even"] < 0 < moved["mostly"]


@pytest.mark.parametrize(("model", "surface"), [("mfas_danet", {"gates", "fused.0"}), ("late_fusion", {"fused.0"})])
def test_surface_is_what_the_model_names(model: str, surface: set[str]) -> None:
    adapter = registry.create("read", tiny_model(model), card(model))
    names = adapter.adapted_parameters
    assert {part for part in surface if any(n.startswith(f"{part}.") for n in names)} == surface
    assert all(n.startswith(tuple(f"{part}." for part in surface)) for n in names)


def test_a_model_that_names_no_fusion_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    monkeypatch.setattr(type(model), "fusion_names", FasModel.fusion_names)
    with pytest.raises(ConfigError, match="to name its fusion parameters, got none"):
        registry.create("read", model, card())
    monkeypatch.setattr(type(model), "fusion_names", lambda _: ("fused.0.weight", "fused.9.weight"))
    with pytest.raises(ConfigError, match=r"got fused\.9\.weight"):
        registry.create("read", model, card())
