"""The page of one stream: when and why the weight fell, what was skipped or undone, what it cost."""

from dataclasses import replace

import numpy as np
import pytest

from mfas.report import StreamData, StreamErrors, Timeline, build_report, build_stream
from mfas.report.pseudo_labels import figure as claims_figure
from mfas.report.pseudo_labels import has_claims, sentence
from mfas.report.stream_events import events
from mfas.report.stream_figure import event_rows
from pages import parse


def step(index, **changes):
    made = {
        "step": index, "seen": 10 * (index + 1), "accepted": 2, "accepted_bona_fide": 1, "accepted_attack": 1,
        "queued": 2, "updated": True, "skipped_reason": None, "loss": 0.4, "loss_weight": 0.9, "guard": None,
        "signals": {"loss_jump": 0.0, "flip_rate": 0.0, "mean_uncertainty": 0.1}, "drift": 0.01 * index,
        "pseudo_label_correct": 1, "pseudo_label_total": 2,
    }  # fmt: skip
    return made | changes


def stream(*changes):
    """Forty steps; ``changes`` are (first, last, fields)."""
    steps = [step(i) for i in range(40)]
    for first, last, fields in changes:
        steps[first : last + 1] = [step(i, **fields) for i in range(first, last + 1)]
    return Timeline("door", "", "mfas_danet+canary", steps)


UNDONE = "rolled back: APCER 0.4 against 0.1"
SKIPPED = {"updated": False, "loss": None}
HOSTILE = stream(
    (5, 6, {"loss_weight": 0.3, "signals": {"loss_jump": 0.5, "flip_rate": 0.4, "mean_uncertainty": 0.1}}),
    (10, 21, SKIPPED | {"skipped_reason": "too little evidence of attack"}),
    (25, 26, SKIPPED | {"skipped_reason": UNDONE, "guard": f"projected; {UNDONE}"}),
)  # fmt: skip


def errors(source=True):
    live = np.arange(400) % 2 == 0
    good = np.where(live, 0.9, 0.1)
    bad = good.copy()
    bad[200:300][~live[200:300]] = 0.8  # attacks accepted after adaptation, in the middle only
    return StreamErrors(live, bad, good if source else None, 0.5, 100)


def found(data):
    return {e.what: e for e in events(data)}


def test_a_fall_of_the_weight_names_the_signal_that_did_it():
    data = StreamData(HOSTILE, strengths={"loss_jump": 1 / 3, "flip_rate": 2.0, "mean_uncertainty": 1.0})
    fall = found(data)["the loss weight fell from 0.90 to 0.30"]
    assert (fall.start, fall.end) == (50, 60)
    assert fall.why == "flip rate rose from 0.00 to 0.40"
    signals = {"loss_jump": 0.5, "flip_rate": 0.4, "mean_uncertainty": 0.1, "correction": 9.0}
    told = stream((5, 6, {"loss_weight": 0.3, "signals": signals}))
    assert found(StreamData(told, strengths=data.strengths))[fall.what].why == fall.why, "moves no weight"
    even = StreamData(HOSTILE, strengths={"loss_jump": 4.0, "flip_rate": 2.0})
    assert found(even)["the loss weight fell from 0.90 to 0.30"].why.startswith("loss jump")


def test_skips_and_guards_are_told_apart_with_their_reasons():
    told = found(StreamData(HOSTILE))
    assert told["12 steps without learning"].why == "too little evidence of attack"
    undone = told["guard: projected, rolled back, 2 steps in a row"]
    assert (undone.start, undone.end, undone.why) == (260, 270, "APCER 0.4 against 0.1")
    rows = {name: len(at) for name, _, at in event_rows(HOSTILE.steps)}
    assert rows == {
        "update": 26,
        "skipped: too little evidence of attack": 12,
        "guard: projected": 2,
        "guard: rolled back": 2,
    }


def test_the_cost_is_counted_against_the_source():
    data = StreamData(HOSTILE, errors())
    worst = found(data)["worst stretch against the source: HTER +50.0 points"]
    assert (worst.start, worst.end) == (201, 300)
    html = build_stream(data)
    assert "attacks accepted: 0 by the source, 50 adapted (0 put right, 50 new)" in html
    assert "bona fide rejected: 0 by the source, 0 adapted" in html
    assert "best stretch" not in html
    alone = build_stream(StreamData(HOSTILE, errors(source=False)))
    assert "0 of 200 bona fide rejected, 50 of 200 attacks accepted" in alone


def test_page_is_well_formed_and_small_whatever_there_is():
    page = parse(build_stream(StreamData(HOSTILE, errors(), notes=("<b>A note.</b>",))))
    assert page.faults == []
    assert set(page.references) == set()
    assert {link.removeprefix("#") for link in page.links} == set(page.ids)
    assert "&lt;b&gt;A note." in build_stream(StreamData(HOSTILE, notes=("<b>A note.</b>",)))
    assert parse(build_stream(StreamData(Timeline("a", "", "source", [])))).faults == []
    long = Timeline("a", "", "tent", [step(i, guard=f"rolled back: {i}", updated=i % 2) for i in range(5000)])
    assert len(build_stream(StreamData(long))) < 400_000


def claims(right, low, high):
    bins = [
        {"low": 0.9, "high": 0.95, "count": 30, "claimed": 0.92, "right": right, "interval": {"low": low, "high": high}}
    ]
    part = {
        "accepted": 30,
        "right": round(30 * right),
        "accuracy": right,
        "interval": {"low": low, "high": high},
        "claims": bins,
        "without_claim": 0,
    }
    nothing = {"accepted": 0, "right": 0, "accuracy": None, "interval": None, "claims": [], "without_claim": 0}
    return {"by_class": {"bona_fide": nothing, "attack": part}}  # fmt: skip


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        ((1.0, 0.88, 1.0), "Every claim was kept."),
        ((0.9, 0.74, 0.98), "In 1 of 1 bins fewer were right than claimed, within the interval."),
        ((0.5, 0.3, 0.7), "In 1 of 1 bins the claim was broken beyond chance."),
    ],
)
def test_broken_claims_are_said(measured, words):
    assert words in sentence(claims(*measured))
    assert "30" in claims_figure(claims(*measured))
    assert has_claims(claims(*measured))
    assert not has_claims(None)


def test_the_report_of_many_runs_shows_claims_where_there_are_any(report_data):
    little = replace(report_data, score_groups=(), tiles=(), timelines=report_data.timelines[:2])
    assert "claims" not in parse(build_report(little)).ids
    claiming = [replace(little.timelines[0], pseudo_labels=claims(0.5, 0.3, 0.7)), little.timelines[1]]
    html = build_report(replace(little, timelines=claiming))
    assert "claims" in parse(html).ids
    assert html.count("the claim was broken beyond chance") == 1
