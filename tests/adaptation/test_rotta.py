"""RoTTA: its loss and gradient against numpy, and what its memory keeps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mfas.adaptation import registry
from mfas.adaptation.cstu import Cstu
from mfas.adaptation.strong_views import strong_view
from mfas.core import MODALITIES, Label, Modality
from toys import SPEC, batch, card, tiny_model, trained

GENUINE, ATTACK = Label.BONA_FIDE, Label.ATTACK
PIXEL = {Modality.RGB: torch.zeros(3, 1, 1)}


def test_loss_and_gradient_weigh_the_memory_by_age() -> None:
    """L = mean(w CE(p, q)) with w = e^-A / (1 + e^-A); A = 1, 3/4, 1/2, 1/4 after four captures, capacity 4."""
    weights = {k: v.clone() for k, v in trained(steps=15).state_dict().items()}
    some, source = batch(4, seed=3), tiny_model()
    source.load_state_dict(weights)
    assert (source.predict(some).score >= 0.5).tolist() == [True, False, True, False]
    images = {m: x.half().float() for m, x in some.images.items()}
    kept = type(some)(images, some.present, some.ids)
    with torch.no_grad():
        q = torch.sigmoid(source(kept).logit).double().numpy()
        strong = strong_view(kept, SPEC, torch.Generator().manual_seed(5 * 1_000_003 + 4))
        p = torch.sigmoid(source(strong).logit).double().numpy()
    age = np.array([4, 3, 2, 1]) / 4
    w = np.exp(-age) / (1 + np.exp(-age))
    model = tiny_model()
    model.load_state_dict(weights)
    adapter = registry.create("rotta", model, card(), {"capacity": 4, "update_every": 4}, 5)
    _, report = adapter.step(some)
    assert report.loss == pytest.approx(np.mean(w * -(q * np.log(p) + (1 - q) * np.log(1 - p))), rel=1e-4)
    # Only norms move: the slope in the shift of RGB's last one is held against differences of numpy's loss.
    name = "trunks.encoders.rgb.norm.bias"
    gradient = adapter.state().tensors[f"optimiser.exp_avg.{name}"] / (1 - 0.9)
    place = int(gradient.abs().argmax())
    value = source.state_dict()[name]
    means = []
    with torch.no_grad():
        for nudge in (1e-2, -1e-2):
            value[place] += nudge
            z = source(strong).logit.double().numpy()
            means.append(np.mean(w * (np.logaddexp(0, z) - q * z)))
            value[place] -= nudge
    assert float(gradient[place]) == pytest.approx((means[0] - means[1]) / 2e-2, rel=2e-2)


def test_memory_keeps_its_balance_on_a_skewed_stream() -> None:
    memory = Cstu(64, 1.0, 1.0)
    draws = np.random.default_rng(0)
    for label, unsure in zip(draws.random(2000) < 0.95, draws.random(2000), strict=True):
        memory.offer(PIXEL, GENUINE if label else ATTACK, float(unsure))
        assert max(memory.counts().values()) <= 32
    assert memory.counts() == {GENUINE: 32, ATTACK: 32}


def test_the_uncertain_leave_first_then_the_old() -> None:
    """Capacity 6: three of a class. Badness of age a and uncertainty u is 1 / (1 + e^(-a/6)) + u."""
    memory = Cstu(6, 1.0, 1.0)
    for unsure in (0.1, 0.6, 0.1):
        assert memory.offer(PIXEL, GENUINE, unsure)
    assert not memory.offer(PIXEL, GENUINE, 0.9)  # worse than all that is held
    assert memory.offer(PIXEL, GENUINE, 0.1)  # in place of the uncertain one
    assert [(item.uncertainty, item.age) for item in memory.items] == [(0.1, 5), (0.1, 3), (0.1, 1)]
    assert memory.offer(PIXEL, GENUINE, 0.1)  # in place of the oldest of equals
    assert [item.age for item in memory.items] == [4, 2, 1]
    assert memory.offer(PIXEL, ATTACK, 0.9)  # the other class has its own room
    assert memory.counts() == {GENUINE: 3, ATTACK: 1}


def test_badness_by_hand() -> None:
    memory = Cstu(8, 2.0, 3.0)
    memory.offer(PIXEL, GENUINE, 0.25)
    memory.items[0].age = 4
    assert memory.badness(memory.items[0]) == pytest.approx(2 / (1 + np.exp(-0.5)) + 0.75)


def test_the_teacher_labels_and_norms_alone_move() -> None:
    adapter = registry.create("rotta", trained(steps=15), card(), {"update_every": 8})
    before = {k: v.clone() for k, v in adapter.model.state_dict().items()}
    there = torch.tensor([[True, False, True]]).expand(8, 3)
    prediction, report = adapter.step(batch(8, present=there))
    expected = ["bona_fide" if score >= 0.5 else "attack" for score in prediction.score.tolist()]
    assert report.updated
    assert list(report.pseudo_labels) == expected
    moved = {k for k, v in adapter.model.state_dict().items() if not torch.equal(v, before[k])}
    assert moved
    assert all("norm" in name or ".body.3." in name for name in moved)
    assert not any(f"encoders.{MODALITIES[1].value}" in name for name in moved)
