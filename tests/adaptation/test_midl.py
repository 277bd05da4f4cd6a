"""MiDl: mutual information and distillation by hand, which patterns are drawn, and who teaches."""

from __future__ import annotations

from math import exp, log

import pytest
import torch

from mfas.adaptation import registry
from mfas.adaptation.midl import mutual_information, smaller_patterns
from mfas.adaptation.two_class import divergence
from mfas.core import Modality
from toys import batch, card, every_pattern, trained


def sigma(z: float) -> float:
    return 1 / (1 + exp(-z))


def h(p: float) -> float:
    return -p * log(p) - (1 - p) * log(1 - p)


def test_mutual_information_and_slope_by_hand() -> None:
    """H(mean p) - mean H(p); slope p q / S (z - logit of the mean); a pattern that is not there counts for nothing."""
    z = [[2.0, -1.0, 0.5], [0.3, -1.0, 9.0], [-1.0, -1.0, -0.5]]
    valid = torch.tensor([[True, True, True], [True, True, False], [True, True, True]])
    logits = torch.tensor(z, dtype=torch.float64, requires_grad=True)
    found = mutual_information(logits, valid)
    found.sum().backward()
    assert logits.grad is not None
    for column in range(3):
        rows = [row for row in range(3) if valid[row, column]]
        p = [sigma(z[row][column]) for row in rows]
        m = sum(p) / len(p)
        assert float(found[column].detach()) == pytest.approx(h(m) - sum(map(h, p)) / len(p), abs=1e-12)
        slopes = [x * (1 - x) / len(p) * (z[row][column] - log(m / (1 - m))) for x, row in zip(p, rows, strict=True)]
        assert [float(logits.grad[row, column]) for row in rows] == pytest.approx(slopes, abs=1e-12)
    assert float(found[1].detach()) == pytest.approx(0, abs=1e-12)
    assert float(logits.grad[1, 2]) == 0


def test_divergence_and_slope_by_hand() -> None:
    given, z = 1.2, -0.4
    p, q = sigma(given), sigma(z)
    logit = torch.tensor(z, dtype=torch.float64, requires_grad=True)
    found = divergence(torch.tensor(given, dtype=torch.float64), logit)
    found.backward()
    assert float(found.detach()) == pytest.approx(p * log(p / q) + (1 - p) * log((1 - p) / (1 - q)), abs=1e-12)
    assert float(logit.grad) == pytest.approx(q - p, abs=1e-12)


@pytest.mark.parametrize("count", [1, 2, 6])
def test_patterns_are_proper_different_and_as_many_as_there_are(count: int) -> None:
    present = every_pattern()
    patterns, there = smaller_patterns(present, count, torch.Generator().manual_seed(0))
    for row, shown in enumerate(present):
        own = [tuple(p[row].tolist()) for p, t in zip(patterns, there, strict=True) if t[row]]
        possible = 2 ** int(shown.sum()) - 2
        assert len(own) == len(set(own)) == min(count, possible)
        for pattern in own:
            kept = torch.tensor(pattern)
            assert bool(kept.any())
            assert not bool((kept & ~shown).any())
            assert not torch.equal(kept, shown)


def test_only_captures_with_two_observed_modalities_teach() -> None:
    adapter = registry.create("midl", trained(steps=4), card())
    alone = torch.tensor([[True, False, False]]).expand(4, 3)
    _, report = adapter.step(batch(4, present=alone))
    assert not report.updated
    assert report.skipped_reason == "no capture with two observed modalities"
    with_one = batch(4, present=alone.clone().index_fill(0, torch.tensor([2]), True))
    first = registry.create("midl", trained(steps=4), card())
    _, report = first.step(with_one)
    second = registry.create("midl", trained(steps=4), card())
    _, same = second.step(with_one.select(torch.tensor([2])))
    assert report.updated
    assert report.loss == pytest.approx(same.loss, rel=1e-5)


def test_the_first_loss_is_mutual_information_alone_and_it_falls() -> None:
    """Infrared contradicts the others, so patterns disagree; nothing has moved yet, so there is nothing to distil."""
    adapter = registry.create("midl", trained(steps=8), card(), {"learning_rate": 1e-2, "patterns": 6})
    some = batch(20, seed=3)
    some.images[Modality.IR].neg_()
    source = adapter.predict(some).score.tolist()
    _, first = adapter.step(some)
    assert first.signals["source_divergence"] == pytest.approx(0, abs=1e-6)
    assert first.loss == pytest.approx(0.5 * first.signals["mutual_information"], abs=1e-6)
    assert first.signals["mutual_information"] > 0.02
    for _ in range(10):
        now = adapter.predict(some).score.tolist()
        _, last = adapter.step(some)
    assert last.signals["mutual_information"] < 0.8 * first.signals["mutual_information"]
    there, back = (
        sum(p * log(p / q) + (1 - p) * log((1 - p) / (1 - q)) for p, q in zip(*pair, strict=True)) / 20
        for pair in ((source, now), (now, source))
    )
    assert last.signals["source_divergence"] == pytest.approx(there, rel=1e-3)
    assert abs(there - back) > 1e-2 * there, "the direction must matter"
