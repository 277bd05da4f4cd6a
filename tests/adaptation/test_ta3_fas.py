"""3A-TTA: activation maps, labels and contrast against numpy; banks, waiting, and the mean of the heads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mfas.adaptation import registry
from mfas.adaptation.activation import activation_maps, as_grid, attention_difference
from mfas.adaptation.contrast import asymmetric_contrast
from mfas.adaptation.map_banks import MapBanks
from mfas.core import Label, Modality
from toys import batch, card, every_pattern, trained

Array = NDArray[np.float64]


def test_activation_maps_by_hand() -> None:
    """Channels weigh 2 and -1, their mean slopes; the map for attack is what is negative."""
    features = torch.tensor([[[[1.0, 0.0], [3.0, 1.0]], [[0.0, 4.0], [1.0, 2.0]]]])
    slope = torch.tensor([[[[2.0, 2.0], [1.0, 3.0]], [[-1.0, -1.0], [-2.0, 0.0]]]])
    bona_fide, attack = activation_maps(features, slope)
    assert bona_fide.tolist() == [[[2.0, 0.0], [5.0, 0.0]]]
    assert attack.tolist() == [[[0.0, 4.0], [0.0, 0.0]]]


def test_attention_difference_by_hand() -> None:
    """Mean map (0.5, 2; 2, 1.5) -> (0, 1; 1, 2/3); bona fide (0.4, 0; 1, 0), attack (0, 1; 0, 0)."""
    features = torch.tensor([[[[1.0, 0.0], [3.0, 1.0]], [[0.0, 4.0], [1.0, 2.0]]]])
    slope = torch.tensor([[[[2.0, 2.0], [1.0, 3.0]], [[-1.0, -1.0], [-2.0, 0.0]]]])
    long = float(np.hypot(1, 2 / 3))
    expected = (0 + 1 / long) / 2 - (1 + 0) / 2
    assert float(attention_difference(features, slope)) == pytest.approx(expected, abs=1e-5)


def test_the_sign_of_the_difference_turns_with_the_logit() -> None:
    draws = torch.Generator().manual_seed(0)
    features, slope = torch.rand(5, 4, 3, 3, generator=draws), torch.randn(5, 4, 3, 3, generator=draws)
    assert torch.allclose(attention_difference(features, -slope), -attention_difference(features, slope))


def test_tokens_become_a_grid() -> None:
    tokens = torch.arange(2 * 9 * 4.0).view(2, 9, 4)
    assert as_grid(tokens)[1, 2, 1, 0] == tokens[1, 3, 2]
    assert as_grid(tokens[:, :7]).shape == (2, 4, 1, 7)


def cosine(a: Array, b: Array) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def contrast_of_one(query: Array, positive: Array, negatives: Array) -> float:
    up = np.exp(cosine(query, positive) / 0.1)
    return float(-np.log(up / (up + sum(np.exp(cosine(query, n) / 0.1) for n in negatives))))


def test_asymmetric_contrast_against_numpy() -> None:
    draws = np.random.default_rng(3)
    rows, genuine, attack = (draws.normal(size=(n, 4)) for n in (5, 4, 6))
    bona_fide = np.array([True, False, True, True, False])

    def near(row: Array) -> Array:
        order: Array = np.argsort(np.linalg.norm(attack - row, axis=1))
        return order

    pulled = [contrast_of_one(r, genuine.mean(0), attack[near(r)[:2]]) for r in rows[bona_fide]]
    like = [contrast_of_one(r, attack[near(r)[1:3]].mean(0), genuine) for r in rows[~bona_fide]]
    tensors = [torch.tensor(x) for x in (rows, bona_fide, genuine, attack)]
    assert float(asymmetric_contrast(*tensors, 2)) == pytest.approx(np.mean(pulled) + np.mean(like))


def test_banks_are_first_in_first_out() -> None:
    banks = MapBanks(3)
    for level in range(5):
        banks.push(Modality.IR, Label.ATTACK, torch.full((1, 1, 1, 1), float(level)))
    held = banks.held(Modality.IR, Label.ATTACK)
    assert held is not None
    assert held.flatten().tolist() == [2.0, 3.0, 4.0]
    assert banks.held(Modality.IR, Label.BONA_FIDE) is None


def test_one_class_teaches_nothing_as_released_and_something_when_told_so() -> None:
    one_class = batch(8, seed=1, target=torch.ones(8), present=every_pattern()[:1].expand(8, 3))
    model = trained()
    waiting = registry.create("ta3_fas", model, card())
    _, report = waiting.step(one_class)
    assert report.skipped_reason == "a class is missing in the banks or in the batch"
    assert report.accepted == report.accepted_bona_fide > 0
    eager = registry.create("ta3_fas", model, card(), {"wait_for_both": False})
    assert eager.step(one_class)[1].updated


def test_banks_teach_the_class_they_were_filled_for() -> None:
    """What is in a bank scored above 0.8 for its class: at most -ln 0.8 a modality, and at least -ln 0.2 if swapped."""
    alone = {"weight_label": 0.0, "weight_contrast": 0.0}
    _, report = registry.create("ta3_fas", trained(), card(), alone).step(batch(12, seed=1))
    assert report.loss is not None
    assert 0 < report.loss < -3 * np.log(0.8)


def test_the_contrast_is_lowered_not_raised() -> None:
    """InfoNCE is positive, and so is its share of the loss."""
    alone = {"weight_label": 0.0, "weight_bank": 0.0}
    _, report = registry.create("ta3_fas", trained(), card(), alone).step(batch(12, seed=1))
    assert report.loss is not None
    assert report.loss > 0


def test_the_score_is_the_mean_of_the_observed_heads_or_the_models_own() -> None:
    some = batch(7, present=every_pattern())
    model = trained(steps=4)
    score = registry.create("ta3_fas", model, card()).predict(some).score
    with torch.no_grad():
        heads, present = model(some).modality_logits.numpy(), some.present.numpy()
    for row in range(7):
        assert float(score[row]) == pytest.approx(1 / (1 + np.exp(-heads[row][present[row]].mean())), abs=1e-6)
    own = registry.create("ta3_fas", model, card(), {"fusion": "model"})
    assert torch.equal(own.predict(some).score, model.predict(some).score)
