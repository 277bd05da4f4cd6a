"""Stealing: oracles keep their word, queries are what they are called, a linear model is copied, thieves are seen."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cosine_similarity

from mfas.adaptation.query_stream import (
    DetectorSettings,
    Stream,
    alarms,
    first_alarm,
    limits_of,
    watch,
    windows,
)
from mfas.audit.oracle import Oracle
from mfas.audit.queries import join, make_queries, mix, unsure
from mfas.audit.space import Budgets, scale_of
from mfas.audit.stealing import StealSettings, compare, steal
from mfas.core import MODALITIES, Batch, Modality
from mfas.models.uncertainty import binary_entropy
from toys import SPEC, batch, target_of
from victims import Linear, planted, toy_victim

FOUR = Budgets(rgb=4, depth=4, ir=4)


def pool(count: int = 20, seed: int = 1) -> Batch:
    some = batch(count, seed)
    some.images[Modality.DEPTH][:, 1] = 1.0
    return some


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_an_oracle_says_no_more_than_it_should() -> None:
    given = torch.tensor([0.12, 0.5, 0.88])

    def answer(kind, limit=None):  # type: ignore[no-untyped-def]
        oracle = Oracle(lambda some: given[: len(some)], 0.5, kind, limit)
        return oracle, oracle.ask(batch(3))

    assert answer("score")[1].tolist() == given.tolist()
    assert answer("rounded")[1].tolist() == pytest.approx([0.1, 0.5, 0.9])
    assert answer("label")[1].tolist() == [0.0, 1.0, 1.0]
    oracle, got = answer("score", 2)
    assert len(got) == oracle.asked == 2
    assert len(oracle.ask(batch(3))) == 0
    assert oracle.left == 0
    assert (answer("label")[0].cut, answer("score")[0].cut) == (0.5, 0.5)


def test_unsure_queries_are_less_sure_and_near() -> None:
    clone, some = toy_victim(), pool()
    moved = unsure(clone, some, FOUR)

    def entropy(one: Batch) -> float:
        return float(binary_entropy(clone.model.predict(one).score).mean())

    assert entropy(moved) > entropy(some)
    for modality in MODALITIES:
        far = (moved.images[modality] - some.images[modality]).abs()
        assert bool((far <= scale_of(modality, SPEC).full * 4 / 255 + 1e-5).all())
    assert torch.equal(moved.images[Modality.DEPTH][:, 1], some.images[Modality.DEPTH][:, 1])


def test_mixed_queries_share_their_share() -> None:
    first, second = pool(6, 1), pool(6, 2)
    mixed = mix(first, second, generator())
    shares = []
    for modality in (Modality.RGB, Modality.IR):
        a, b, x = (some.images[modality].flatten(1) for some in (first, second, mixed))
        shares.append(((x - a) * (b - a)).sum(dim=1) / (b - a).square().sum(dim=1))
    assert torch.allclose(shares[0], shares[1], atol=1e-4)
    assert float(shares[0].min()) >= 0
    assert float(shares[0].max()) <= 1
    assert len(shares[0].unique()) == 6


def test_mixing_with_missing_modalities_and_holes() -> None:
    first, second = pool(2, 1), pool(2, 2)
    first.present[0] = torch.tensor([True, True, False])
    second.present[0] = torch.tensor([False, True, True])
    second.present[1] = torch.tensor([True, True, True])
    first.images[Modality.DEPTH][:, :, :8] = 0.0
    mixed = mix(first, second, generator())
    assert mixed.present.tolist() == [[False, True, False], [True, True, True]]
    assert float(mixed.images[Modality.RGB][0].abs().max()) == 0.0
    depth = mixed.images[Modality.DEPTH]
    assert set(depth[:, 1].unique().tolist()) <= {0.0, 1.0}
    assert float(depth[:, 0][depth[:, 1] == 0].abs().max()) == 0.0
    lone = mix(Batch(first.images, torch.tensor([[True, False, False]] * 2), first.ids),
               Batch(second.images, torch.tensor([[False, True, False]] * 2), second.ids), generator())  # fmt: skip
    assert lone.present.tolist() == [[True, False, False]] * 2
    assert torch.equal(lone.images[Modality.RGB], first.images[Modality.RGB])


def test_queries_come_from_the_whole_pool() -> None:
    found = make_queries(toy_victim(), pool(5), 12, "diverse", FOUR, generator())
    assert len(found) == 12
    again = make_queries(toy_victim(), pool(5), 12, "diverse", FOUR, generator())
    assert torch.equal(found.images[Modality.IR], again.images[Modality.IR])
    near = make_queries(toy_victim(), pool(5), 12, "uncertain", FOUR, generator())
    distance = torch.cdist(near.images[Modality.IR].flatten(1), pool(5).images[Modality.IR].flatten(1))
    assert set(distance.argmin(dim=1).tolist()) == set(range(5))
    assert len(set(join([found, near]).ids.capture_id)) == 24


@pytest.mark.parametrize("answers", ["score", "label"])
def test_a_linear_model_is_copied_by_a_linear_clone(answers) -> None:  # type: ignore[no-untyped-def]
    victim = planted(Linear(bias=0.3))
    blank = planted(Linear({m: (0.0,) * SPEC.channels(m) for m in MODALITIES}))
    oracle = Oracle(lambda some: victim.model.predict(some).score, 0.5, answers)
    settings = StealSettings(rounds=3, epochs=30, learning_rate=0.05)
    stolen = steal(oracle, blank, pool(60), 300, "both", settings)
    assert oracle.asked == len(stolen.answers) == 300
    others, genuine = pool(200, 7), target_of(200) > 0.5
    scores = [model.predict(others).score for model in (stolen.clone.model, victim.model)]
    species = ["" if one else "print_flat" for one in genuine.tolist()]
    found = compare(scores[0], scores[1], genuine, oracle, species)
    assert found.agreement >= 0.97
    assert found.agreement > found.by_chance + 0.3
    assert found.hter <= 0.05
    if answers == "score":
        parts = [
            torch.cat([model.weights[m.value].detach()[: 1 + 2 * (m is Modality.RGB)] for m in MODALITIES])
            for model in (stolen.clone.model, victim.model)
        ]  # fmt: skip
        assert float(cosine_similarity(parts[0], parts[1], dim=0)) > 0.9
        assert found.mean_difference is not None
        assert found.mean_difference < 0.05


def test_fidelity_by_hand() -> None:
    oracle = Oracle(lambda some: some.present[:, 0].float(), 0.6, "score")
    clone, victim = torch.tensor([0.7, 0.5, 0.9, 0.1]), torch.tensor([0.7, 0.7, 0.3, 0.1])
    found = compare(clone, victim, torch.tensor([True, True, False, False]), oracle, ["", "", "a", "b"])
    assert found.agreement == 0.5
    assert found.by_chance == 0.5
    assert found.mean_difference == pytest.approx(0.2)
    assert found.hter == 0.5


def test_fewer_answers_teach_less() -> None:
    victim = planted(Linear(bias=0.3))
    oracle = Oracle(lambda some: victim.model.predict(some).score, 0.5, "score", limit=30)
    blank = planted(Linear({m: (0.0,) * SPEC.channels(m) for m in MODALITIES}))
    stolen = steal(oracle, blank, pool(), 100, "diverse", StealSettings(rounds=4, epochs=1))
    assert len(stolen.answers) == len(stolen.queries) == oracle.asked == 30


def test_thieves_are_noticed_and_visitors_are_not() -> None:
    settings = DetectorSettings(window=10)
    rng = generator()

    def visitors(count: int) -> Stream:
        feature = torch.nn.functional.normalize(torch.randn(count, 8, generator=rng), dim=1)
        return Stream((torch.rand(count, generator=rng) > 0.8).double(), feature)

    limits = limits_of(visitors(200), settings)
    assert float(alarms(visitors(100), limits, settings).double().mean()) <= 0.2
    one = torch.ones(30, 8) / 8**0.5
    same = Stream(torch.zeros(30), one + 1e-4 * torch.randn(30, 8, generator=rng))
    assert bool(alarms(same, limits, settings)[1:].all())
    doubtful = Stream(torch.ones(30), visitors(30).feature)
    assert first_alarm(doubtful, limits, settings) == 10
    assert first_alarm(Stream(torch.zeros(5), one[:5]), limits, settings) is None
    unsure_share, distance = windows(doubtful, settings)
    assert unsure_share.tolist() == [1.0, 1.0, 1.0]
    assert len(distance) == 3


def test_what_a_service_notes_of_queries() -> None:
    some = pool(6)
    seen = watch(toy_victim().model, [some.select(torch.arange(4)), some.select(torch.arange(4, 6))])
    assert seen.entropy.shape == (6,)
    assert torch.allclose(seen.feature.norm(dim=1), torch.ones(6), atol=1e-5)
