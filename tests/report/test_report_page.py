"""The report page: self-contained, complete, true to its numbers."""

import re
from dataclasses import replace

import numpy as np
import pytest

from mfas import metrics
from mfas.core import MISSING_PATTERNS, Modality
from mfas.errors import ImageError
from mfas.report import ReportData, Tile, build_report, write_report
from mfas.report import _text as text
from mfas.report.compare import pairs
from mfas.report.narrative import summary
from pages import parse


@pytest.fixture(scope="module")
def html(report_data):
    return build_report(report_data)


def test_is_well_formed_and_needs_nothing_else(html):
    page = parse(html)
    assert page.faults == []
    assert page.stack == []
    assert all(reference.startswith("data:image/jpeg;base64,") for reference in page.references)
    assert "<script" not in html
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    assert {link for link in page.links if not link.startswith("#")} == set()
    # Names of XML vocabularies are no references; nothing else may name a host.
    hosts = set(re.findall(r"https?://([^/\"'\s<]+)", html))
    assert hosts <= {"www.w3.org"}


def test_contents_list_and_anchors_agree(html):
    page = parse(html)
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert {"summary", "before-after", "iso", "det", "histograms", "timeline", "captures", "made"} <= set(page.ids)


def test_has_every_figure_and_capture(html, report_data):
    patterns = len(MISSING_PATTERNS)
    assert html.count("<svg") == 1 + 1 + patterns + patterns
    assert len(html) < 3_000_000
    images = sum(len(tile.images) for tile in report_data.tiles)
    assert html.count("<img") == images
    errors = sum(bool(tile.error) for tile in report_data.tiles)
    assert html.count('class="tile error"') == errors > 0


def test_numbers_of_the_runs_stand_in_the_tables(html, report_data):
    for run in report_data.runs:
        for name in ("bpcer", "apcer_max", "hter", "acer", "hter_eer", "bpcer_at_apcer_5pct"):
            assert text.percent(run[name]) in html
        assert text.decimal(run["auc"]) in html
        exact = run["intervals"]["bpcer"]["clopper_pearson"]
        assert text.span(exact) in html


def test_written_whole_and_the_same_bytes_again(tmp_path, report_data):
    small = replace(report_data, score_groups=report_data.score_groups[:2], timelines=report_data.timelines[:1])
    write_report(small, tmp_path / "deep" / "report.html")
    file = tmp_path / "deep" / "report.html"
    assert file.read_text(encoding="utf-8") == build_report(small)
    assert list(file.parent.iterdir()) == [file]


def test_summary_tells_both_stories(report_data):
    compared = pairs(report_data)
    words = summary(report_data, compared)
    before = np.mean([p.before for p in compared])
    after = np.mean([p.after for p in compared])
    assert f"from {text.percent(before)} to {text.percent(after)} ({text.points(after - before)} points)" in words[0]
    worst = max(compared, key=lambda p: p.difference)
    assert worst.difference > 0
    assert f"It made things worse with {text.pattern(worst.missing)}" in words[0]
    caveats = words[-1]
    assert "simulated" in caveats
    assert "40 subjects" in caveats
    assert "one seed" in caveats
    assert "Thresholds were fixed before the target was seen." in caveats
    assert "simulated" not in summary(replace(report_data, simulated=False), compared)[-1]


def test_pairs_hold_the_paired_interval(report_data):
    compared = pairs(report_data)
    assert [p.missing for p in compared] == list(MISSING_PATTERNS)
    first = compared[0]
    before, after = report_data.score_groups[0], report_data.score_groups[1]
    expected = metrics.paired_bootstrap(
        (before.bona_fide, before.attacks), (after.bona_fide, after.attacks), thresholds=(0.52, 0.52),
        bona_fide_subjects=before.bona_fide_subjects, attack_subjects=before.attack_subjects,
    )  # fmt: skip
    assert (first.low, first.high) == (expected.low, expected.high)
    assert first.difference == pytest.approx(expected.difference)
    assert first.verdict == "better"


def test_difference_without_scores_or_with_other_presentations_has_no_interval(report_data):
    assert pairs(replace(report_data, score_groups=()))[0].low is None
    other = replace(report_data.score_groups[1], bona_fide_subjects=["x"] * len(report_data.score_groups[1].bona_fide))
    swapped = (report_data.score_groups[0], other, *report_data.score_groups[2:])
    assert pairs(replace(report_data, score_groups=swapped))[0].low is None


def test_several_seeds_are_averaged_with_their_range(report_data):
    second = [{**run, "seed": 1, "hter": run["hter"] + 0.02} for run in report_data.runs]
    found = pairs(replace(report_data, runs=[*report_data.runs, *second], score_groups=()))
    assert found[0].seeds == 2
    assert found[0].after == pytest.approx(report_data.runs[1]["hter"] + 0.01)
    assert found[0].after_interval["method"] == "range over seeds"
    assert found[0].after_interval["high"] - found[0].after_interval["low"] == pytest.approx(0.02)


def test_hostile_text_is_escaped(report_data):
    html = build_report(
        replace(
            report_data, title="<script>alert(1)</script>", command="x && y", score_groups=(), timelines=(), tiles=()
        )
    )
    assert "<script" not in html
    assert "x &amp;&amp; y" in html


def test_little_data_still_makes_a_page():
    html = build_report(ReportData(title="Empty", subtitle="", runs=[]))
    assert "there is no comparison to report" in html
    run = {"target": "a", "missing": "", "method": "source", "hter": None, "auc": None, "notes": ["One class only."]}
    html = build_report(ReportData(title="One class", subtitle="", runs=[run]))
    assert "One class only." in html
    assert parse(html).faults == []


def test_sparse_timeline_steps():
    from mfas.report import Timeline
    from mfas.report import timeline as drawing

    steps = [{"step": i, "seen": i + 1, "accepted": 0, "updated": False, "skipped_reason": "cold_start",
              "loss_weight": None, "guard": {"verdict": "rolled_back"}} for i in range(700)]  # fmt: skip
    stream = Timeline("a", "", "tent", steps)
    assert "0 of 700 captures became pseudo labels" in drawing.sentence(stream)
    assert "cold start (700)" in drawing.sentence(stream)
    assert "rolled back (700)" in drawing.sentence(stream)
    assert len(drawing.figure(stream)) < 120_000


def test_unreadable_tile_is_an_image_error(tmp_path):
    tile = Tile({Modality.RGB: b"not an image"}, "attack", "print_flat", 0.2, "attack")
    with pytest.raises(ImageError, match="modality rgb"):
        build_report(ReportData(title="", subtitle="", runs=[], tiles=[tile]))
    missing = replace(tile, images={Modality.IR: tmp_path / "none.png"})
    with pytest.raises(ImageError, match=r"none\.png"):
        build_report(ReportData(title="", subtitle="", runs=[], tiles=[missing]))


@pytest.mark.parametrize(
    ("label", "decision", "error"),
    [
        ("attack", "bona_fide", "attack accepted"),
        ("bona_fide", "attack", "bona fide rejected"),
        ("attack", "attack", ""),
        ("bona_fide", "non_response", ""),
    ],
)
def test_tile_errors(label, decision, error):
    assert Tile({}, label, "", 0.5, decision).error == error


def test_text():
    assert text.points(-0.0831) == "−8.3"
    assert text.points(0.0001) == "±0.0"
    assert text.percent(None) == "–"
    assert text.span({"low": 0.01, "high": 0.2}) == "1.0–20.0"
    assert text.listing([]) == ""
