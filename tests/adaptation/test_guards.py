"""What each guard promises beyond the contract: bounds, rollback, recovery; and that guards compose."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan
from pathlib import Path

import pytest
import torch

from mfas.adaptation import registry
from mfas.adaptation.contract import StepReport
from mfas.adaptation.guards.anchor import Anchor, AnchorSettings
from mfas.adaptation.guards.canary import Canary, CanarySettings
from mfas.adaptation.guards.labelled import LabelledSet, Measure, measure
from mfas.adaptation.guards.queries import Queries, QueriesSettings
from mfas.adaptation.guards.recovery import Recovery, RecoverySettings
from mfas.adaptation.saving import load_state, save_state
from mfas.adaptation.source import Source
from mfas.config import Config
from mfas.core import Batch, Prediction
from mfas.errors import ConfigError, StateError
from toys import Micro, batch, card, labelled, micro_batch, tiny_model, toy_canary, trained

PAIR = micro_batch(1.0, -1.0)
GOOD, BAD = 0.01, 5.0


class Runaway(Source):
    """Moves every parameter by exactly the next of ``sizes``, whatever it sees; a size of 0 is no update."""

    def __init__(self, sizes: list[float]) -> None:
        super().__init__(Micro(), card(), Config(), 0)
        self.adapted_parameters = frozenset(self.model.state_dict())
        self._source = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.sizes = list(sizes)

    def step(self, batch: Batch) -> tuple[Prediction, StepReport]:
        prediction, report = super().step(batch)
        size = self.sizes.pop(0)
        with torch.no_grad():
            for value in self.model.parameters():
                value.sub_(size)
        moved = size != 0
        return prediction, replace(report, updated=moved, loss=1.0 if moved else None, skipped_reason=None)

    def reset(self) -> None:
        super().reset()
        self.model.load_state_dict(self._source)

    def state(self):  # type: ignore[no-untyped-def]
        return replace(super().state(), tensors={k: v.clone() for k, v in self.model.state_dict().items()})

    def load_state(self, state) -> None:  # type: ignore[no-untyped-def]
        super().load_state(state)
        self.model.load_state_dict(dict(state.tensors))


def micro_canary(_: Path) -> LabelledSet:
    return labelled([micro_batch(1.0, -1.0, 1.0, -1.0)], [torch.tensor([1.0, 0.0, 1.0, 0.0])])


def canary(sizes: list[float], **settings: float) -> Canary:
    return Canary(Runaway(sizes), CanarySettings(manifest=Path("canary.csv"), **settings), micro_canary)


@pytest.mark.parametrize(
    ("pull", "radius", "step"),
    [(0.1, None, 0.3), (0.0, 0.2, 1e3), (0.1, 0.2, 0.001), (0.5, 0.2, 1e15)],
)
def test_anchor_bounds_steps_of_any_size(pull: float, radius: float | None, step: float) -> None:
    guarded = Anchor(Runaway([step] * 120), AnchorSettings(pull=pull, radius=radius))
    drifts = [guarded.step(PAIR)[1].drift for _ in range(120)]
    assert max(drifts) <= guarded.bound(step) * (1 + 1e-5)
    assert drifts[-1] > 0.99 * guarded.bound(step)


@pytest.mark.parametrize("size", [inf, nan, 1e30])
def test_anchor_answers_parameters_that_are_not_finite_by_a_reset(size: float) -> None:
    guarded = Anchor(Runaway([0.01, size, 0.01]), AnchorSettings())
    guarded.step(PAIR)
    _, report = guarded.step(PAIR)
    assert not report.updated
    assert report.skipped_reason == report.guard == "reset: parameters not finite"
    assert report.drift == 0
    assert guarded.step(PAIR)[1].updated


def test_anchor_holds_around_a_rollback_too() -> None:
    """The canary puts back a state from before the outer projection; the ball still holds."""
    inner = canary([0.15, BAD], loss_share=10.0)
    guarded = Anchor(inner, AnchorSettings(pull=0.0, radius=0.1))
    for _ in range(2):
        _, report = guarded.step(PAIR)
        assert report.drift <= 0.1 * (1 + 1e-5)
    assert report.guard == "rolled back: BPCER worse on the canary; projected"


def test_measure_by_hand() -> None:
    """The worst species decides; a score at the threshold is accepted; a score that is not finite is an error."""
    known = labelled([batch(8)], [torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])])
    assert known.species[1:4] == ("print_flat", "replay_lcd", "replay_lcd")
    score = torch.tensor([0.5, 0.1, 0.9, 0.2, 0.4, nan, 0.1, 0.2])
    blank = trained(steps=0).predict(batch(8))
    found = measure(lambda _: replace(blank, score=score), known)
    assert found.bpcer == 0.5
    assert found.apcer == 0.5, "one of two prints (not finite), one of four replays"
    right = torch.tensor([0.9, 0.1, 0.8, 1e-6, 0.9, 0.8]).double()
    nats = (-torch.tensor([0.5, 0.4]).double().log().mean() - right.log().mean()) / 2
    assert found.loss == pytest.approx(float(nats), rel=1e-6)


def test_canary_needs_both_classes() -> None:
    with pytest.raises(ConfigError, match="none of attack"):
        labelled([batch(2)], [torch.ones(2)])


def test_canary_undoes_what_hurts_and_keeps_what_does_not() -> None:
    guarded = canary([GOOD, BAD, GOOD])
    guarded.step(PAIR)
    kept = guarded.inner.state()
    _, report = guarded.step(PAIR)
    assert not report.updated
    assert report.loss is None
    assert report.skipped_reason == report.guard == "rolled back: BPCER worse on the canary"
    assert report.signals["canary_bpcer"] == 1.0
    after = guarded.inner.state()
    assert kept.facts == after.facts
    assert all(torch.equal(kept.tensors[k], v) for k, v in after.tensors.items())
    assert report.step == 1
    assert guarded.step(PAIR)[1].updated


@pytest.mark.parametrize(
    ("now", "worse"),
    [
        (Measure(0.02, 0.02, 0.0), None),
        (Measure(0.021, 0.0, 0.0), "BPCER"),
        (Measure(0.0, 0.021, 0.0), "APCER"),
        (Measure(0.0, 0.0, 0.0099), None),
        (Measure(0.0, 0.0, 0.02), "loss"),
    ],
)
def test_canary_tolerance(now: Measure, worse: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    guarded = canary([GOOD])
    guarded.at_source = Measure(0.0, 0.0, 0.0)
    monkeypatch.setattr("mfas.adaptation.guards.canary.measure", lambda *_: now)
    _, report = guarded.step(PAIR)
    assert report.guard == (None if worse is None else f"rolled back: {worse} worse on the canary")


def test_three_rollbacks_in_a_row_stop_learning_for_a_while() -> None:
    sizes = [BAD, BAD, GOOD, BAD, BAD, BAD, GOOD]
    guarded = canary(sizes, cool_down=4)
    reports = [guarded.step(PAIR)[1] for _ in range(len(sizes) + 4)]
    verdicts = "".join("u" if r.updated else "c" if r.skipped_reason == "cooling down" else "r" for r in reports)
    assert verdicts == "rrurrrccccu"
    assert [r.step for r in reports] == list(range(len(reports)))


@pytest.mark.parametrize(("every", "stop"), [(1, 3), (1, 4), (1, 6), (2, 9)])
def test_what_a_canary_remembers_survives_being_saved(every: int, stop: int) -> None:
    """Stopped after two strikes, at the start of the cool-down, in it, and between two checks."""
    sizes = [GOOD, BAD, BAD, BAD, GOOD, GOOD, GOOD, GOOD, GOOD, BAD] + [BAD, GOOD] * 3
    whole = canary(sizes, cool_down=4, every=every)
    reports = []
    for index in range(16):
        if index == stop:
            state, left = whole.state(), list(whole.inner.sizes)
        reports.append(replace(whole.step(PAIR)[1], seconds=0.0))
    resumed = canary(left, cool_down=4, every=every)
    resumed.load_state(state)
    assert [replace(resumed.step(PAIR)[1], seconds=0.0) for _ in range(stop, 16)] == reports[stop:]


def test_canary_every_second_update_goes_back_to_the_last_check() -> None:
    guarded = canary([GOOD, GOOD, GOOD, BAD], every=2)
    drifts = [guarded.step(PAIR)[1].drift for _ in range(4)]
    assert drifts == pytest.approx([0.01, 0.02, 0.03, 0.02], rel=1e-4)


def test_canary_stops_the_collapse_of_tent() -> None:
    """The stream on which `tent` alone ends by accepting every attack (`test_tent.py`)."""
    model, known = trained(steps=4), toy_canary(Path("canary.csv"))
    guarded = Canary(registry.create("tent", model, card()), CanarySettings(manifest=Path("c")), lambda _: known)
    before = guarded.at_source
    reports = [guarded.step(batch(10, seed=i, target=torch.ones(10), first=10 * i))[1] for i in range(20)]
    after = measure(guarded.predict, known)
    assert any(str(r.guard).startswith("rolled back: APCER") for r in reports)
    assert after.apcer <= before.apcer + 0.02
    assert after.bpcer <= before.bpcer + 0.02


def test_recovery_pulls_harder_until_the_source_is_reached() -> None:
    settings = RecoverySettings(patience=4, pull=0.1, growth=2.0)
    guarded = Recovery(Runaway([0.3, 0.0, 0.0, 0.0, 0.1] + [0.0] * 12), settings)
    reports = [guarded.step(PAIR)[1] for _ in range(13)]
    drifts = [r.drift for r in reports]
    # two captures a step: patience ends after the second step without an update
    start, again = 0.3 * 0.9, 0.3 * 0.9 + 0.1
    assert drifts[:5] == pytest.approx([0.3, 0.3, 0.3, start, again], rel=1e-4)
    decay = [1.0, 1.0, 0.9, 0.9 * 0.8, 0.9 * 0.8 * 0.6, 0.9 * 0.8 * 0.6 * 0.2]
    assert drifts[5:11] == pytest.approx([again * d for d in decay], rel=1e-4)
    assert drifts[11:] == [0.0, 0.0]
    assert not any(r.updated for r in reports[5:])
    assert reports[7].guard == "recovering"
    assert reports[11].guard == "recovered: back at the source"
    assert reports[12].guard is None


def visitors(first: int, count: int = 10) -> Batch:
    """Bona fide captures that were not there before."""
    return batch(count, seed=1000 + first, target=torch.ones(count), first=first)


class Eager(Source):
    """Says of every batch that it learnt from it; its model is a trained one, whose features tell captures apart."""

    def __init__(self) -> None:
        super().__init__(trained(), card(), Config(), 0)
        self.steps = 0

    def step(self, batch: Batch) -> tuple[Prediction, StepReport]:
        prediction, report = super().step(batch)
        self.steps += 1
        return prediction, replace(report, updated=True, loss=1.0, skipped_reason=None)


def test_nothing_is_learnt_from_queries_unlike_the_traffic_before() -> None:
    inner = Eager()
    guarded = Queries(inner, QueriesSettings(window=10, calibrate=3, rest=2, slack=1))
    calm = [guarded.step(visitors(10 * i))[1] for i in range(3)]
    assert inner.steps == 0
    assert {report.skipped_reason for report in calm} == {"traffic of this site not known yet"}
    assert guarded.step(visitors(30))[1].updated
    thief = visitors(40)
    again = [guarded.step(thief)[1] for _ in range(4)]
    # the first time they are new, the second time the window is full before anybody knows
    assert [report.updated for report in again] == [True, True, False, False]
    assert again[1].guard == "alarm: distance of queries"
    assert again[2].skipped_reason == "queries unlike this site's traffic"
    assert guarded.predict(thief).score.tolist() == inner.predict(thief).score.tolist()
    back = [guarded.step(visitors(50 + 10 * i))[1].updated for i in range(3)]
    assert back == [False, False, True]


def test_a_window_is_filled_over_batches_and_comes_back_from_a_state() -> None:
    def play(guarded: Queries, sizes: list[int], first: int) -> list[str | None]:
        told = []
        for size in sizes:
            told.append(guarded.step(visitors(first, size))[1].guard)
            first += size
        return told

    settings = QueriesSettings(window=10, calibrate=2, rest=1, memory=15)
    begun = Queries(Eager(), settings)
    assert play(begun, [7, 7], 0) == ["traffic of this site not known yet"] * 2
    other = Queries(Eager(), settings)
    other.load_state(begun.state())
    assert play(begun, [6, 4], 14) == play(other, [6, 4], 14)
    assert torch.equal(begun.state().tensors["features"], other.state().tensors["features"])
    assert len(begun.state().tensors["features"]) == 15
    begun.reset()
    assert len(begun.state().tensors["features"]) == 0


def test_a_chain_resumes_exactly_and_refuses_another_chain(tmp_path: Path) -> None:
    source = {k: v.clone() for k, v in trained().state_dict().items()}
    settings = {
        "mfas_danet": {"learning_rate": 0.5},
        "canary": {"manifest": "canary.csv", "cool_down": 3, "strikes": 2},
        "recovery": {"patience": 20},
    }

    def build(name: str = "mfas_danet+anchor+canary+recovery"):  # type: ignore[no-untyped-def]
        model = tiny_model()
        model.load_state_dict(source)
        known = {part: settings[part] for part in name.split("+") if part in settings}
        return registry.create(name, model, card(), known, 0, toy_canary)

    def play(adapter, first: int, last: int):  # type: ignore[no-untyped-def]
        played = [adapter.step(batch(10, seed=i, shift=0.3, first=10 * i)) for i in range(first, last)]
        return [(p.score.tolist(), replace(r, seconds=0.0)) for p, r in played]

    whole = play(build(), 0, 24)
    assert sum(report.updated for _, report in whole) > 2
    begun = build()
    play(begun, 0, 11)
    save_state(begun, tmp_path, {})
    resumed = build()
    load_state(resumed, tmp_path, {})
    assert play(resumed, 11, 24) == whole[11:]
    with pytest.raises(StateError, match="expected a state with method anchor"):
        load_state(build("mfas_danet+anchor"), tmp_path, {})
