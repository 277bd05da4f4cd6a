"""A site's life: what is served was promoted, whatever happens in whatever order."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mfas.service.freezing import FreezeSwitch
from mfas.service.ledger import verify
from mfas.service.states import SOURCE, NotAllowedError, Phase, Policy, why_not_learn
from mfas.service.store import Store, StoreError
from mfas.service.store.types import Status
from mfas.service.verdicts import Bounds, Outcome, Verdict
from stored import BASE, PROMOTE, REJECT, WAIT, Clock, change, decision, state

BOUNDS = Bounds(cool_down=5, rejections=3, rollbacks_per_day=3)
ALARM = Verdict(Outcome.ALARM, ("a score is not finite",))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def auto(url: str, clock: Clock) -> Iterator[Store]:
    """A store whose site ``door`` promotes by itself."""
    store = Store(url, bounds=BOUNDS, clock=clock, switch=FreezeSwitch(environment={}))
    store.migrate()
    store.add_site("door", Policy.AUTO)
    store.adopt_base("door", BASE)
    yield store
    store.close()


def rested(store: Store) -> None:
    """Enough decisions for any cool-down to pass."""
    store.record_decisions([decision() for _ in range(BOUNDS.cool_down)])
    if store.site("door").phase is Phase.ROLLED_BACK:
        store.rest_over("door")


def test_a_candidate_within_the_bounds_is_in_force_at_once(auto: Store) -> None:
    first = state()
    site = auto.submit(first, (change(),), PROMOTE)
    assert (site.state, site.phase, site.candidate) == (first.id, Phase.OBSERVING, None)
    second = state(first.id)
    assert auto.submit(second, (change("source"), change("site", flips=0.01)), PROMOTE).state == second.id
    assert auto.state(second.id).status is Status.PROMOTED
    assert auto.delta(second.id) == second.delta
    assert [c.canary for c in auto.canary_changes(second.id)] == ["site", "source"]
    assert auto.canary_changes(second.id)[0] == change("site", flips=0.01)
    assert [row.kind for row in auto.ledger(after=2)] == ["proposed", "promoted"] * 2
    verify(auto.database)


def test_a_candidate_of_another_parent_never_forks_the_line(auto: Store) -> None:
    first, late = state(), state()
    auto.submit(first, (), PROMOTE)
    with pytest.raises(NotAllowedError, match="learnt from"):
        auto.submit(late, (), PROMOTE)
    with pytest.raises(NotAllowedError, match="learnt from"):
        auto.submit(state(first.id, base="c" * 64), (), PROMOTE)
    with pytest.raises(StoreError, match="id of a state"):
        auto.state(late.id)
    assert auto.site("door").state == first.id


def test_approval_waits_for_a_person(auto: Store) -> None:
    auto.set_policy("door", Policy.APPROVE, "ann")
    first = state()
    site = auto.submit(first, (change(),), PROMOTE)
    assert (site.phase, site.state, site.candidate) == (Phase.CANDIDATE, SOURCE, first.id)
    assert why_not_learn(site) == "a candidate waits for approval"
    with pytest.raises(NotAllowedError):
        auto.submit(state(), (), WAIT)
    with pytest.raises(NotAllowedError, match="candidate that waits"):
        auto.approve("door", state().id, "ann")
    assert auto.approve("door", first.id, "ann", "looked at it").state == first.id
    with pytest.raises(NotAllowedError):
        auto.approve("door", first.id, "ann")
    second = state(first.id)
    auto.submit(second, (), WAIT)
    site = auto.reject("door", second.id, "bob")
    assert (site.state, site.candidate, site.rejections) == (first.id, None, 1)
    assert auto.state(second.id).decided_by == "bob"
    actions = [(a.action, a.state, a.by) for a in auto.approvals("door")]
    assert actions == [("reject", second.id, "bob"), ("approve", first.id, "ann")]


def test_three_rejections_in_a_row_begin_a_cool_down(auto: Store) -> None:
    auto.submit(state(), (), REJECT)
    auto.submit(state(), (), REJECT)
    auto.submit(first := state(), (), PROMOTE)
    for _ in range(2):
        auto.submit(state(first.id), (), REJECT)
    assert why_not_learn(auto.site("door")) is None
    auto.submit(state(first.id), (), REJECT)
    assert why_not_learn(auto.site("door")) == "cooling down for 5 more decisions"
    with pytest.raises(NotAllowedError, match="cooling down"):
        auto.submit(state(first.id), (), PROMOTE)
    rested(auto)
    assert auto.submit(last := state(first.id), (), PROMOTE).state == last.id


def test_a_site_that_observes_serves_nothing_and_blames_nobody(auto: Store) -> None:
    auto.set_policy("door", Policy.OBSERVE, "ann")
    for _ in range(4):
        site = auto.submit(own := state(), (change(),), PROMOTE)
        assert (site.state, site.rejections) == (SOURCE, 0)
        assert auto.state(own.id).status is Status.OBSERVED


def test_a_rollback_goes_back_and_never_forward_again(auto: Store) -> None:
    line = [SOURCE]
    for _ in range(3):
        auto.submit(own := state(line[-1]), (), PROMOTE)
        line.append(own.id)
    site = auto.rollback("door", "ann")
    assert (site.state, site.phase, site.cool_down_until) == (line[2], Phase.ROLLED_BACK, 5)
    assert auto.state(line[3]).status is Status.ROLLED_BACK
    for target in (line[3], line[2], "0" * 64):
        with pytest.raises((StoreError, NotAllowedError)):
            auto.rollback("door", "ann", to=target)
    with pytest.raises(NotAllowedError, match="cooling down"):
        auto.rest_over("door")
    rested(auto)
    assert why_not_learn(auto.site("door")) is None
    assert auto.rollback("door", "ann", to=SOURCE).state == SOURCE
    assert auto.state(line[1]).status is auto.state(line[2]).status is Status.ROLLED_BACK
    with pytest.raises(NotAllowedError, match="source model"):
        auto.rollback("door", "ann")


def test_a_rollback_drops_the_candidate_that_waits(auto: Store) -> None:
    auto.submit(first := state(), (), PROMOTE)
    auto.submit(waiting := state(first.id), (), WAIT)
    assert auto.rollback("door", "ann").candidate is None
    assert auto.state(waiting.id).status is Status.WITHDRAWN
    with pytest.raises(NotAllowedError):
        auto.approve("door", waiting.id, "ann")


def test_a_storm_of_rollbacks_ends_in_alarm_and_freeze(auto: Store, clock: Clock) -> None:
    for number in range(4):
        clock.pass_(hours=1)
        auto.submit(state(), (), PROMOTE)
        site = auto.rollback("door", "mallory")
        assert site.frozen is (number == 3)
        rested(auto)
    assert site.phase is Phase.ALARM
    assert auto.ledger(kinds=("alarm",))[0].payload["reason"] == "more than 3 rollbacks in a day"
    with pytest.raises(NotAllowedError):
        auto.submit(state(), (), PROMOTE)
    assert auto.unfreeze("door", "ann").phase is Phase.OBSERVING
    clock.pass_(days=1)
    auto.submit(state(), (), PROMOTE)
    assert not auto.rollback("door", "ann").frozen


def test_freezing_stops_promotion_until_it_is_undone(auto: Store, url: str) -> None:
    auto.submit(first := state(), (), PROMOTE)
    auto.submit(waiting := state(first.id), (), WAIT)
    site = auto.freeze("door", "ann", "an incident")
    assert (site.phase, site.frozen_by, site.state) == (Phase.FROZEN, "ann", first.id)
    assert auto.freeze("door", "bob").frozen_by == "ann"
    with pytest.raises(NotAllowedError):
        auto.approve("door", waiting.id, "ann")
    again = Store(url, switch=FreezeSwitch(environment={}))
    assert again.site("door").frozen
    again.close()
    assert auto.unfreeze("door", "ann").phase is Phase.CANDIDATE
    assert auto.approve("door", waiting.id, "ann").state == waiting.id
    with pytest.raises(NotAllowedError):
        auto.unfreeze("door", "ann")


def test_a_frozen_site_can_still_be_rolled_back(auto: Store) -> None:
    auto.submit(state(), (), PROMOTE)
    auto.freeze("door", "ann")
    site = auto.rollback("door", "ann")
    assert (site.state, site.phase, site.frozen) == (SOURCE, Phase.FROZEN, True)
    assert why_not_learn(auto.unfreeze("door", "ann")) == "cooling down for 5 more decisions"


def test_switches_outside_the_database_stop_a_promotion(auto: Store, tmp_path: Path) -> None:
    auto.switch = FreezeSwitch(tmp_path / "stop", {})
    auto.submit(waiting := state(), (), WAIT)
    (tmp_path / "stop").touch()
    with pytest.raises(NotAllowedError, match="file stop"):
        auto.approve("door", waiting.id, "ann")
    auto.switch = FreezeSwitch(environment={"MFAS_FREEZE": "1"})
    with pytest.raises(NotAllowedError, match="MFAS_FREEZE"):
        auto.approve("door", waiting.id, "ann")
    assert auto.site("door").state == SOURCE
    auto.switch = FreezeSwitch(environment={"MFAS_FREEZE": "0", "MFAS_FREEZE_FILE": str(tmp_path / "go")})
    assert auto.approve("door", waiting.id, "ann").state == waiting.id


def test_an_alarm_puts_back_what_stood_before(auto: Store) -> None:
    auto.submit(first := state(), (), PROMOTE)
    auto.submit(second := state(first.id), (), PROMOTE)
    site = auto.alarm("door", "bytes do not match", bad_state=second.id)
    assert (site.state, site.phase, site.frozen) == (first.id, Phase.ALARM, True)
    head = auto.ledger_head()
    assert auto.alarm("door", "bytes do not match", bad_state=second.id).state == first.id
    assert auto.ledger_head() == head
    assert auto.alarm("door", "this one too", bad_state=first.id).state == SOURCE


def test_a_verdict_of_alarm_freezes_and_rejects(auto: Store) -> None:
    site = auto.submit(own := state(), (change(flips=float("nan"), spoof_rise=float("nan")),), ALARM)
    assert (site.state, site.candidate, site.phase) == (SOURCE, None, Phase.ALARM)
    assert auto.state(own.id).status is Status.REJECTED
    assert repr(auto.canary_changes(own.id)[0].flips) == "nan"
    verify(auto.database)


def test_another_source_model_retires_every_state(auto: Store) -> None:
    auto.submit(first := state(), (), PROMOTE)
    auto.submit(waiting := state(first.id), (), WAIT)
    site = auto.adopt_base("door", "c" * 64)
    assert (site.state, site.candidate, site.base, site.phase) == (SOURCE, None, "c" * 64, Phase.OBSERVING)
    assert {auto.state(s.id).status for s in (first, waiting)} == {Status.RETIRED}
    head = auto.ledger_head()
    auto.adopt_base("door", "c" * 64)
    assert auto.ledger_head() == head


def test_bytes_that_are_not_those_of_the_id_are_refused(auto: Store) -> None:
    with pytest.raises(StoreError, match="got others"):
        auto.submit(dataclasses.replace(state(), delta=b"other"), (), PROMOTE)
    auto.submit(own := state(), (), REJECT)
    with pytest.raises(StoreError, match="which is there"):
        auto.submit(own, (), PROMOTE)
    with pytest.raises(StoreError, match="at most 16777216 bytes"):
        auto.submit(state(delta=b"x" * (16 * 2**20 + 1)), (), PROMOTE)
    assert auto.site("door").state == SOURCE


def test_what_was_learnt_before_a_fresh_start_comes_too_late(auto: Store) -> None:
    generation = auto.site("door").generation
    auto.delete_subject("door", "nobody")
    with pytest.raises(NotAllowedError, match="fresh start"):
        auto.submit(state(), (), PROMOTE, generation)
    auto.submit(state(), (), PROMOTE, generation + 1)


class Life(RuleBasedStateMachine):
    """Everything in any order on one site, beside a list of what is in force."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        bounds = Bounds(cool_down=2, rejections=2, rollbacks_per_day=2)
        url = f"sqlite:///{self.folder.name}/s.db"
        switch = FreezeSwitch(environment={})
        self.store = Store(url, power_safe=False, bounds=bounds, clock=self.clock, switch=switch)
        self.store.migrate()
        self.store.add_site("door", Policy.AUTO)
        self.store.adopt_base("door", BASE)
        self.line = [SOURCE]

    def teardown(self) -> None:
        verify(self.store.database)
        self.store.close()
        self.folder.cleanup()

    @rule(verdict=st.sampled_from([PROMOTE, WAIT, REJECT, ALARM]), stale=st.booleans())
    def submit(self, verdict: Verdict, stale: bool) -> None:
        before = self.store.site("door")
        parent = self.line[0] if stale else self.line[-1]
        own = state(parent)
        try:
            site = self.store.submit(own, (), verdict)
        except NotAllowedError:
            assert parent != before.state or why_not_learn(before) is not None
            return
        assert why_not_learn(before) is None
        if verdict is PROMOTE and before.policy is Policy.AUTO:
            self.line.append(own.id)
        assert site.state == self.line[-1]

    @precondition(lambda self: self.store.site("door").candidate is not None)
    @rule(yes=st.booleans())
    def decide(self, yes: bool) -> None:
        site = self.store.site("door")
        assert site.candidate is not None
        if not yes:
            if site.phase is Phase.CANDIDATE:
                self.store.reject("door", site.candidate, "ann")
            return
        try:
            self.store.approve("door", site.candidate, "ann")
        except NotAllowedError:
            assert site.frozen or site.policy not in (Policy.APPROVE, Policy.AUTO)
            return
        assert not site.frozen
        self.line.append(site.candidate)

    @precondition(lambda self: len(self.line) > 1)
    @rule(data=st.data())
    def rollback(self, data: st.DataObject) -> None:
        to = data.draw(st.integers(0, len(self.line) - 2))
        self.store.rollback("door", "ann", to=self.line[to])
        del self.line[to + 1 :]

    @rule()
    def freeze(self) -> None:
        assert self.store.freeze("door", "ann").frozen

    @precondition(lambda self: self.store.site("door").frozen)
    @rule()
    def unfreeze(self) -> None:
        assert not self.store.unfreeze("door", "ann").frozen

    @rule(bad=st.booleans())
    def alarm(self, bad: bool) -> None:
        bad = bad and len(self.line) > 1
        assert self.store.alarm("door", "test", bad_state=self.line[-1] if bad else None).frozen
        if bad:
            self.line.pop()

    @rule(count=st.integers(1, 3), hours=st.integers(0, 30))
    def wait(self, count: int, hours: int) -> None:
        self.clock.pass_(hours=hours)
        self.store.record_decisions([decision() for _ in range(count)])
        site = self.store.site("door")
        if site.phase is Phase.ROLLED_BACK and site.decisions >= site.cool_down_until:
            self.store.rest_over("door")

    @rule(policy=st.sampled_from(list(Policy)))
    def policy(self, policy: Policy) -> None:
        self.store.set_policy("door", policy, "ann")

    @invariant()
    def what_serves_was_promoted(self) -> None:
        site = self.store.site("door")
        assert site.state == self.line[-1]
        if site.state != SOURCE:
            assert self.store.state(site.state).status is Status.PROMOTED
        assert (site.phase in (Phase.FROZEN, Phase.ALARM)) == site.frozen
        assert (site.candidate is not None) >= (site.phase is Phase.CANDIDATE)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
