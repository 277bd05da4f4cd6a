"""A shadow learns, its candidates are judged, and only what was promoted is served."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import load

from mfas.core import MODALITIES, Batch
from mfas.data.preprocess import Planes
from mfas.errors import ConfigError, InputError, StateError
from mfas.service.canary import Canary, read_canary
from mfas.service.freezing import FreezeSwitch
from mfas.service.in_force import InForce, SourceModel
from mfas.service.learners import Learners
from mfas.service.learning import NOT_LEADING, SiteLearner
from mfas.service.learning_config import LearningConfig
from mfas.service.ledger import verify
from mfas.service.offers import Offer
from mfas.service.shadow import Shadow
from mfas.service.signing import Secret
from mfas.service.states import SOURCE, Phase, Policy
from mfas.service.store import Store
from mfas.service.store.types import Status
from mfas.service.verdicts import Bounds
from stored import Clock, decision, hashed
from toys import batch, card, target_of, trained

SECRET = Secret(b"s" * 32)
BASE = "b" * 64
QUICK: dict[str, Any] = {
    "update_every": 4,
    "batch_per_class": 4,
    "min_per_class": 2,
    "min_share": 0.0,
    "learning_rate": 1e-3,
}
CONFIG = LearningConfig(settings=QUICK, updates_per_candidate=2, batch=8, wait_seconds=0)
LOOSE = Bounds(cool_down=3, flips=1.0, species=1.0, bpcer=1.0, spoof_rise=1.0)


@pytest.fixture(scope="module")
def source() -> SourceModel:
    return SourceModel(trained(steps=40).requires_grad_(False), card(), BASE)


@pytest.fixture(scope="module")
def canary() -> Canary:
    genuine = target_of(16).numpy() > 0
    return Canary(
        name="site",
        digest="d" * 64,
        batches=(batch(16, seed=70),),
        species=tuple("" if one else "print_flat" for one in genuine),
        bona_fide=genuine,
        thresholds=np.full(16, 0.5),
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    """A store on SQLite whose site promotes by itself, with bounds that let everything through."""
    switch = FreezeSwitch(tmp_path / "freeze", {})
    made = Store(f"sqlite:///{tmp_path}/s.db", power_safe=False, bounds=LOOSE, clock=clock, switch=switch)
    made.migrate()
    made.add_site("door", Policy.AUTO)
    yield made
    made.close()


Make = Callable[..., SiteLearner]


@pytest.fixture
def make(store: Store, source: SourceModel, canary: Canary) -> Iterator[Make]:
    made: list[SiteLearner] = []

    def build(config: LearningConfig = CONFIG, canaries: tuple[Canary, ...] = (canary,), site: str = "door") -> Any:
        made.append(SiteLearner(store, SECRET, site, source, config, canaries))
        made[-1].tick()
        return made[-1]

    yield build
    for learner in made:
        learner.stand_down()


def planes(some: Batch) -> list[Planes]:
    return [{m: some.images[m][row].numpy() for m in MODALITIES} for row in range(len(some))]


def offers(seed: int, count: int = 8, **facts: Any) -> list[Offer]:
    """Captures of people nobody has seen, half of them attacks."""
    decided = ["bona_fide" if one else "attack" for one in target_of(count) > 0]
    return [
        Offer(**{"planes": p, "request_id": f"q{seed}-{i}", "decision": d, "subject": hashed(f"{seed} {i}"), **facts})
        for i, (p, d) in enumerate(zip(planes(batch(count, seed=seed)), decided, strict=True))
    ]


def teach(learner: SiteLearner, seeds: range) -> None:
    """Batches of eight, one a round."""
    for seed in seeds:
        for offer in offers(seed):
            assert learner.offer(offer) is None
        learner.tick()


def serving(store: Store, source: SourceModel) -> InForce[str]:
    return InForce(store, SECRET, "the source", BASE, lambda: source)


def test_a_shadow_learns_and_its_candidate_is_served(store: Store, make: Make, source: SourceModel) -> None:
    before = deepcopy(source.model.state_dict())
    learner, served = make(), serving(store, source)
    assert served.scorer("door") == "the source"
    teach(learner, range(1, 3))
    site = store.site("door")
    assert site.state != SOURCE
    state = store.state(site.state)
    assert (state.status, state.updates, state.parent, state.decided_by) == (Status.PROMOTED, 2, SOURCE, "mfas")
    assert 0 < state.drift < 0.2
    scorer = served.scorer("door")
    assert not isinstance(scorer, str)
    assert (scorer.state_id, scorer.model_id) == (site.state, BASE)
    some = planes(batch(4, seed=90))
    moved = scorer.predict(some).score
    assert not torch.equal(moved, source.model.predict(batch(4, seed=90)).score)
    assert served.scorer("door") is scorer
    assert all(torch.equal(before[n], x) for n, x in source.model.state_dict().items())
    (found,) = store.canary_changes(site.state)
    assert (found.before.bona_fide, found.before.attacks) == (8, 8)
    assert found.spoof_rise != 0
    steps = store.steps("door")
    assert len(steps) == 16
    assert sum(step.accepted for _, step in steps) == learner.status().counts["learnt from"] > 8
    assert {step.parent for _, step in steps} == {SOURCE}
    teach(learner, range(3, 5))
    assert store.state(store.site("door").state).parent == site.state
    verify(store.database)


def test_a_rolled_back_site_serves_what_stood_before(store: Store, make: Make, source: SourceModel) -> None:
    learner, served = make(), serving(store, source)
    teach(learner, range(1, 3))
    store.rollback("door", "ann")
    assert served.scorer("door") == "the source"
    learner.tick()
    assert learner.status().resting == "cooling down for 3 more decisions"
    assert learner.status().drift == 0
    assert learner.offer(offers(9)[0]) is not None
    store.record_decisions([decision() for _ in range(3)])
    learner.tick()
    assert learner.status().resting is None
    teach(learner, range(10, 12))
    assert store.state(store.site("door").state).parent == SOURCE


def test_approval(store: Store, make: Make, source: SourceModel) -> None:
    store.set_policy("door", Policy.APPROVE, "ann")
    learner, served = make(), serving(store, source)
    teach(learner, range(1, 3))
    waiting = store.site("door").candidate
    assert waiting is not None
    assert served.scorer("door") == "the source"
    learner.tick()
    assert learner.offer(offers(9)[0]) == "a candidate waits for approval"
    store.approve("door", waiting, "ann")
    scorer = served.scorer("door")
    assert not isinstance(scorer, str)
    assert scorer.state_id == waiting
    learner.tick()
    assert learner.status().updates == 2
    teach(learner, range(3, 5))
    second = store.site("door").candidate
    assert second is not None
    assert store.state(second).parent == waiting
    store.reject("door", second, "ann")
    learner.tick()
    assert learner.status().updates == 2
    assert learner.status().drift == pytest.approx(store.state(waiting).drift)


def test_without_a_canary_the_policy_auto_waits_for_a_person(store: Store, make: Make) -> None:
    learner = make(canaries=())
    teach(learner, range(1, 3))
    site = store.site("door")
    assert (site.state, site.phase) == (SOURCE, Phase.CANDIDATE)
    assert store.ledger(kinds=("proposed",))[0].payload["canary"] == []


def test_a_spoof_that_rises_needs_a_person(store: Store, make: Make, canary: Canary, monkeypatch: Any) -> None:
    store.bounds = LOOSE.model_copy(update={"spoof_rise": 0.001})
    rising = itertools.count(1)
    monkeypatch.setattr(Canary, "scores", lambda own, _: np.where(own.bona_fide, 0.9, 0.01 * next(rising)))
    teach(make(), range(1, 3))
    (state,) = store.states("door")
    assert store.canary_changes(state.id)[0].spoof_rise == pytest.approx(0.01)
    assert (store.site("door").candidate, store.site("door").state) == (state.id, SOURCE)


def test_a_candidate_that_is_worse_is_rejected_and_forgotten(store: Store, make: Make) -> None:
    store.bounds = LOOSE.model_copy(update={"radius": 1e-9})
    learner = make()
    teach(learner, range(1, 3))
    (state,) = store.states("door")
    assert state.status is Status.REJECTED
    assert "reaches the radius" in str(state.reason)
    assert (learner.status().updates, learner.status().drift) == (0, 0)
    teach(learner, range(3, 7))
    assert len(store.states("door")) == 3
    learner.tick()
    assert "cooling down" in str(learner.status().resting)
    assert store.site("door").state == SOURCE


def test_a_site_that_observes_says_what_would_have_been(store: Store, make: Make) -> None:
    store.set_policy("door", Policy.OBSERVE, "ann")
    teach(make(), range(1, 3))
    (state,) = store.states("door")
    assert state.status is Status.OBSERVED
    assert "with 'auto' the verdict were 'promote'" in str(state.reason)
    assert store.site("door").state == SOURCE


def test_off_means_off(store: Store, make: Make) -> None:
    store.set_policy("door", Policy.OFF, "ann")
    learner = make()
    assert learner.offer(offers(1)[0]) == "adaptation is off"
    learner.tick()
    assert store.steps("door") == ()
    assert not learner.status().leading


@pytest.mark.parametrize("how", ["store", "file", "environment"])
def test_a_freeze_stops_learning_at_once_and_outlives_the_process(
    store: Store, make: Make, tmp_path: Path, how: str
) -> None:
    learner = make()
    teach(learner, range(1, 2))
    learner.offer(offers(2)[0])
    if how == "store":
        store.freeze("door", "ann")
    elif how == "file":
        (tmp_path / "freeze").touch()
    else:
        store.switch = FreezeSwitch(environment={"MFAS_FREEZE": "yes"})
    if how != "store":
        assert learner.offer(offers(2)[1]) is not None
    steps = store.steps("door")
    learner.tick()
    assert store.steps("door") == steps
    assert store.site("door").frozen
    assert (learner.status().resting, learner.status().queued) == ("frozen", 0)
    learner.stand_down()
    (tmp_path / "freeze").unlink(missing_ok=True)
    store.switch = FreezeSwitch(environment={})
    again = make()
    assert again.offer(offers(3)[0]) == "frozen"
    store.unfreeze("door", "ann")
    again.tick()
    assert again.offer(offers(3)[0]) is None


def test_a_restart_begins_at_the_state_in_force(store: Store, make: Make) -> None:
    first = make()
    teach(first, range(1, 4))
    state = store.state(store.site("door").state)
    first.stand_down()
    second = make()
    assert (second.status().updates, second.status().drift) == (state.updates, state.drift)
    teach(second, range(4, 7))
    chain = store.state(store.site("door").state)
    assert chain.parent == state.id
    assert chain.updates == state.updates + 2


def test_the_second_learner_of_a_site_stands_by(store: Store, make: Make) -> None:
    first, second = make(), make()
    assert first.status().leading
    assert not second.status().leading
    assert second.offer(offers(1)[0]) == NOT_LEADING
    first.stand_down()
    second.tick()
    assert second.status().leading


def test_who_may_teach(store: Store, make: Make, clock: Clock) -> None:
    config = CONFIG.model_copy(update={"updates_per_candidate": 1000})
    learner = make(config)

    def taught(given: list[Offer]) -> list[str]:
        before = {seq for seq, _ in store.steps("door", limit=1000)}
        for offer in given:
            learner.offer(offer)
        learner.tick()
        return sorted(s.request_id for seq, s in store.steps("door", limit=1000) if seq not in before)

    ann = [dataclasses.replace(o, decision="bona_fide", session=None) for o in offers(1, subject=hashed("ann"))]
    genuine = ann[::2]
    assert len(taught(genuine)) == 2
    assert taught(genuine[:1]) == []
    clock.pass_(hours=25)
    assert len(taught(genuine)) == 2
    by_session = offers(2, session=hashed("one"))
    assert len(taught(by_session)) == 1
    assert taught(offers(3, session=hashed("one"))) == []
    assert taught(offers(4, subject=None)) == []
    assert len(taught([dataclasses.replace(o, decision="attack") for o in offers(5, subject=None, device="d")])) == 2
    tried = offers(6, count=2, subject=hashed("bob"))
    assert taught([tried[1], tried[0]]) == ["q6-1"]
    clock.pass_(minutes=11)
    assert taught([dataclasses.replace(tried[0], request_id="later")]) == ["later"]
    counts = learner.status().counts
    assert counts["came after an attack"] == 1
    assert counts["no subject and no device"] == 8
    assert counts["its session has taught"] == 15


def test_a_device_has_its_own_quota(store: Store, make: Make) -> None:
    quotas = CONFIG.quotas.model_copy(update={"per_device": 3})
    learner = make(CONFIG.model_copy(update={"quotas": quotas}))
    for offer in offers(1, device=hashed("phone")):
        learner.offer(offer)
    learner.tick()
    assert learner.status().counts["its device has taught enough"] >= 5 - sum(
        not step.accepted for _, step in store.steps("door")
    )
    assert len(store.steps("door")) == 3


def test_the_queue_never_grows_beyond_its_size(make: Make) -> None:
    learner = make(CONFIG.model_copy(update={"queue": 8}))
    answers = [learner.offer(offer) for offer in offers(1, count=12)]
    assert answers == [None] * 8 + ["the queue is full"] * 4
    assert learner.status().queued == 8


def test_a_batch_waits_until_it_is_full_or_late(make: Make, store: Store) -> None:
    learner = make(CONFIG.model_copy(update={"wait_seconds": 3600.0}))
    for offer in offers(1)[:7]:
        learner.offer(offer)
    assert learner.tick() is False
    learner.offer(offers(1)[7])
    assert learner.tick() is True
    assert len(store.steps("door")) == 8


def test_a_deleted_subject_leaves_queue_and_shadow(store: Store, make: Make) -> None:
    learner = make()
    teach(learner, range(1, 2))
    assert learner.status().updates == 1
    learner.offer(offers(2)[0])
    done = store.delete_subject("door", hashed("1 0"))
    assert done.steps == 1
    learner.tick()
    assert (learner.status().queued, learner.status().updates, learner.status().drift) == (0, 0, 0)
    assert store.states("door") == ()
    assert len(store.steps("door")) == 7


@pytest.mark.parametrize("harm", ["bytes", "signature", "status", "parent"])
def test_a_forged_state_is_never_served(
    store: Store, make: Make, source: SourceModel, tmp_path: Path, harm: str
) -> None:
    teach(make(), range(1, 3))
    state = store.site("door").state
    raw = store.delta(state)
    changed = {
        "bytes": ("delta", raw[:-1] + bytes([raw[-1] ^ 1])),
        "signature": ("signature", "0" * 64),
        "status": ("status", "rejected"),
        "parent": ("parent", "c" * 64),
    }[harm]
    with closing(sqlite3.connect(tmp_path / "s.db")) as connection, connection:
        connection.execute(f"UPDATE states SET {changed[0]} = ?", (changed[1],))
    if harm == "parent":
        with closing(sqlite3.connect(tmp_path / "s.db")) as connection, connection:
            connection.execute("UPDATE states SET parent = 'source', base = ?", ("c" * 64,))
    assert serving(store, source).scorer("door") == "the source"
    site = store.site("door")
    assert (site.state, site.phase, site.frozen) == (SOURCE, Phase.ALARM, True)
    assert state[:12] in store.ledger(kinds=("alarm",))[0].payload["reason"]


def test_a_forged_state_stops_a_learner_too(store: Store, make: Make, tmp_path: Path) -> None:
    first = make()
    teach(first, range(1, 3))
    first.stand_down()
    with closing(sqlite3.connect(tmp_path / "s.db")) as connection, connection:
        connection.execute("UPDATE states SET signature = ?", ("0" * 64,))
    second = make()
    assert (second.status().drift, second.status().resting) == (0, "frozen")
    assert store.site("door").phase is Phase.ALARM


def test_a_state_of_another_source_model_is_not_served(store: Store, make: Make, source: SourceModel) -> None:
    teach(make(), range(1, 3))
    other = InForce(store, SECRET, "another source", "c" * 64, lambda: source)
    assert other.scorer("door") == "another source"
    assert store.site("door").phase is Phase.OBSERVING


def test_weights_that_are_not_finite_raise_the_alarm(store: Store, make: Make, monkeypatch: Any) -> None:
    learner = make()
    monkeypatch.setattr(Shadow, "finite", lambda _: False)
    teach(learner, range(1, 2))
    assert store.site("door").phase is Phase.ALARM
    assert store.steps("door") == ()


def test_sites_are_never_pooled(store: Store, make: Make) -> None:
    store.add_site("gate", Policy.AUTO)
    door, gate = make(), make(site="gate")
    teach(door, range(1, 3))
    gate.tick()
    assert store.site("door").state != SOURCE
    assert store.site("gate").state == SOURCE
    assert store.steps("gate") == ()
    assert gate.status().drift == 0


def test_learners_follow_the_sites(store: Store, source: SourceModel, canary: Canary) -> None:
    store.set_policy("door", Policy.OFF, "ann")
    reads: list[int] = []

    def read() -> SourceModel:
        reads.append(1)
        return source

    learners = Learners(store, SECRET, CONFIG, read)
    learners.round()
    assert learners.offer("door", offers(1)[0]) == "adaptation is off"
    assert reads == []
    store.set_policy("door", Policy.APPROVE, "ann")
    learners.start()
    try:
        for _ in range(200):
            if learners.offer("door", offers(1)[0]) is None:
                break
            learners._stop.wait(0.05)
        for offer in offers(2):
            assert learners.offer("door", offer) is None
        for _ in range(200):
            if len(store.steps("door")) == 9:
                break
            learners._stop.wait(0.05)
    finally:
        learners.stop()
    assert len(store.steps("door")) == 9
    assert [status.leading for status in learners.status()] == [False]
    assert json.dumps(dict(learners.status()[0].counts))


def test_a_method_that_fails_freezes_its_own_site_only(store: Store, source: SourceModel, monkeypatch: Any) -> None:
    store.add_site("gate", Policy.AUTO)
    learners = Learners(store, SECRET, CONFIG, lambda: source)
    learners.round()

    def fail(self: Shadow, batch: Batch) -> None:
        raise RuntimeError("no gradient")

    monkeypatch.setattr(Shadow, "step", fail)
    for offer in offers(1):
        learners.offer("door", offer)
    learners.round()
    assert store.site("door").phase is Phase.ALARM
    assert not store.site("gate").frozen
    learners.stop()


def test_canaries_are_read_from_a_folder(lesson: Path, tmp_path: Path) -> None:
    read = read_canary("site", lesson.parent, card())
    assert read.bona_fide.sum() > 0
    assert len(read.thresholds) == len(read.species) == len(read.bona_fide)
    assert read.digest == read_canary("site", lesson, card()).digest
    with pytest.raises(ConfigError, match="found neither"):
        read_canary("site", tmp_path, card())
    with pytest.raises(InputError):
        read_canary("site", tmp_path / "none.csv", card())


@pytest.mark.parametrize("method", ["mfas_danet", "mfas_danet+anchor", "rotta", "ta3_fas"])
def test_a_shadow_can_be_put_on_stored_weights(source: SourceModel, method: str) -> None:
    settings = {"mfas_danet": QUICK} if "+" in method else QUICK if method == "mfas_danet" else {}
    norm = "batch" if method == "rotta" else "group"
    model = source.model if norm == "group" else trained(steps=5, norm="batch")
    own = (
        source.card if norm == "group" else source.card.model_copy(update={"architecture": model.stored_architecture()})
    )
    shadow = Shadow(method, deepcopy(model), own, settings)
    for seed in range(1, 4):
        shadow.step(batch(8, seed=seed))
    name, raw = shadow.weights({"made": "now"})
    delta = load(raw)
    other = Shadow(method, deepcopy(model), own, settings)
    other.put(delta, shadow.updates, shadow.drift)
    assert all(torch.equal(value, delta[key]) for key, value in load(other.weights({})[1]).items())
    other.step(batch(8, seed=9))
    other.back()
    assert all(torch.equal(value, delta[key]) for key, value in load(other.weights({})[1]).items())
    assert len(name) == 64
    with pytest.raises(StateError):
        other.put({"nothing": torch.zeros(1)})


def test_a_restarted_shadow_is_still_gated_by_the_source(source: SourceModel) -> None:
    shadow = Shadow("mfas_danet", deepcopy(source.model), source.card, QUICK)
    for seed in range(1, 4):
        shadow.step(batch(8, seed=seed))
    delta = {name: value + 0.05 for name, value in load(shadow.weights({})[1]).items()}
    fresh = Shadow("mfas_danet", deepcopy(source.model), source.card, QUICK)
    fresh.put(None)
    moved = Shadow("mfas_danet", deepcopy(source.model), source.card, QUICK)
    moved.put(delta, 3)
    some = batch(8, seed=20, shift=0.4)
    assert moved.step(some).accepted_ids == fresh.step(some).accepted_ids
