"""OAP: its balanced loss and gradient against numpy, and what moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mfas.adaptation import registry
from mfas.adaptation.oap import balanced_loss
from toys import batch, card, trained


def test_loss_and_gradient_by_hand() -> None:
    """Classes weigh the same: the slope at z is (p - y) / (captures with that pseudo label)."""
    z, y = np.array([2.0, 0.5, 1.0, -0.3]), np.array([True, True, True, False])
    p = 1 / (1 + np.exp(-z))
    logit = torch.tensor(z, requires_grad=True)
    loss = balanced_loss(logit, torch.tensor(y))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(-np.log(p[:3]).mean() - np.log(1 - p[3]))
    assert logit.grad is not None
    assert logit.grad.numpy() == pytest.approx((p - y) / np.array([3, 3, 3, 1]))


def test_a_batch_of_one_class_has_the_loss_of_that_class() -> None:
    logit = torch.tensor([1.0, 3.0])
    expected = torch.nn.functional.softplus(-logit).mean()
    assert float(balanced_loss(logit, torch.tensor([True, True]))) == pytest.approx(float(expected))


def test_only_the_fused_classifier_moves_and_heads_say_what_they_said() -> None:
    model = trained(steps=4)
    some = batch(8, seed=5)
    before, heads = {k: v.clone() for k, v in model.state_dict().items()}, model.predict(some).modality_scores
    adapter = registry.create("oap", model, card(), {"learning_rate": 1e-2})
    adapter.step(some)
    moved = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert moved
    assert all(name.startswith(("fused.", "gates.")) for name in moved)
    assert torch.equal(adapter.predict(some).modality_scores, heads)


def test_the_boundary_decides_the_pseudo_labels() -> None:
    model, some = trained(steps=1), batch(8, seed=5)
    score = model.predict(some).score
    boundary = float(score.sort().values[2:4].mean())
    _, report = registry.create("oap", model, card(), {"boundary": boundary}).step(some)
    assert report.pseudo_labels == tuple("bona_fide" if s >= boundary else "attack" for s in score.tolist())
    assert report.accepted_bona_fide == 5
