"""CTNet: transitions and their losses against values by hand, live statistics, substitution, the mixed score."""

from __future__ import annotations

import pytest
import torch

from mfas.core import Modality
from mfas.models.contract import LossStep
from mfas.models.ctnet import Ctnet, mix_logits
from mfas.models.transitions import alignment, consistency, distance, known, transitions, units
from toys import batch, every_pattern, target_of, tiny_model

E = torch.eye(3)
ALL = torch.ones(1, 3, dtype=torch.bool)


def model() -> Ctnet:
    made = tiny_model("ctnet")
    assert isinstance(made, Ctnet)
    return made


def test_transitions_are_differences_of_unit_features_by_name() -> None:
    features = {Modality.IR: 5 * E[2:], Modality.RGB: 2 * E[:1], Modality.DEPTH: 3 * E[1:2]}
    expected = torch.stack([E[2] - E[0], E[0] - E[1], E[1] - E[2]])
    assert torch.allclose(transitions(units(features))[0], expected)
    no_depth = torch.tensor([[True, False, True]])
    assert known(no_depth).tolist() == [[True, False, False]]


def test_consistency_is_the_mean_over_pairs_of_different_captures() -> None:
    generator = torch.Generator().manual_seed(0)
    live = torch.randn(5, 3, 4, generator=generator)
    rows = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 1], [1, 1, 0], [0, 0, 0]]).bool()
    expected = 0.0
    for k in range(2):
        index = rows[:, k].nonzero().squeeze(1).tolist()
        pairs = [1 - float(torch.cosine_similarity(live[a, k], live[b, k], 0)) for a in index for b in index if a != b]
        expected += sum(pairs) / len(pairs)
    assert float(consistency(live, rows)) == pytest.approx(expected, abs=1e-5)
    assert float(consistency(live[:1], rows[:1])) == 0.0
    assert float(consistency(live[:1].expand(4, 3, 4), rows[:1].expand(4, 3))) == pytest.approx(0.0, abs=1e-6)


def test_alignment_is_zero_only_at_a_right_angle() -> None:
    prototypes = torch.stack([E[0], E[0], E[0]])
    vectors = torch.stack([-2 * E[0], E[1], E[0] + E[1]])[None]
    assert float(alignment(vectors, prototypes, ALL)) == pytest.approx(1 + 0 + 0.5**0.5)
    assert float(alignment(vectors, prototypes, torch.tensor([[False, True, False]]))) == pytest.approx(0.0)


def test_distance_adds_angle_and_length_and_stretches_what_is_known() -> None:
    prototypes = torch.stack([E[0], E[0], E[0]])
    vectors = torch.stack([E[0], 2 * E[0], E[1]])[None]
    each = (0.0, 0.5, 0.5 + 0.5 * 2**0.5)
    assert float(distance(vectors, prototypes, ALL)) == pytest.approx(sum(each))
    assert float(distance(vectors, prototypes, torch.tensor([[False, True, True]]))) == pytest.approx(1.5 * sum(each))
    assert float(distance(vectors, prototypes, ~ALL)) == 0.0


def test_mixed_score_is_the_mean_of_two_probabilities() -> None:
    one, two = torch.tensor([2.0, -30.0, 1.0]), torch.tensor([-1.0, 30.0, 1.0])
    mixed = torch.sigmoid(mix_logits(one, two, 0.25))
    assert torch.allclose(mixed, 0.75 * torch.sigmoid(one) + 0.25 * torch.sigmoid(two))
    assert float(mix_logits(one, two, 0.25)[2]) == pytest.approx(1.0)


def test_live_statistics_come_from_live_training_captures_alone() -> None:
    net, step = model(), LossStep(torch.Generator())
    some = batch(8)
    net.training_loss(some, target_of(8), step)
    assert net.updates.tolist() == [0, 0, 0, 0], "evaluating a loss must learn nothing"
    net.train().training_loss(some, torch.zeros(8), step)
    assert net.updates.tolist() == [0, 0, 0, 0]
    net.training_loss(some, target_of(8), step)
    with torch.no_grad():
        features = net.trunks.features(net.lower(some), some.present)
    live = units(features)[target_of(8) > 0.5]
    assert torch.allclose(net.prototypes, live.mean(dim=0), atol=1e-6)
    strange = distance(transitions(live), transitions(net.prototypes), ALL.expand(4, 3))
    assert net.updates.tolist() == [1, 1, 1, 1]
    assert torch.allclose(net.moments, torch.stack([strange.mean(), strange.square().mean()]), atol=1e-6)


def test_depth_and_ir_come_from_rgb_and_nothing_stands_in_for_rgb() -> None:
    net, some = model(), batch(7, present=every_pattern())
    output = net(some)
    rgb = some.present[:, :1]
    expected = ~some.present & rgb & torch.tensor([[False, True, True]])
    assert torch.equal(output.substituted, expected)
    assert set(output.complements) == {Modality.DEPTH, Modality.IR}
    assert all(bool((output.complements[m][~rgb[:, 0]] == 0).all()) for m in output.complements)


def test_a_strange_transition_lowers_the_score_and_depth_alone_is_left_to_the_classifier() -> None:
    net = model()
    for seed in range(3):
        net.train().training_loss(batch(16, seed=seed), target_of(16), LossStep(torch.Generator()))
    net.eval()
    some = batch(2, present=torch.tensor([[True, True, True], [False, True, False]]))
    with torch.no_grad():
        plain = net(some).logit
        net.prototypes.neg_()
        strange = net(some).logit
        net.architecture = net.architecture.model_copy(update={"transition_share": 0.0})
        classifier = net(some).logit
    assert float(strange[0]) < float(plain[0])
    assert float(plain[1]) == pytest.approx(float(classifier[1]), abs=1e-5)
