"""The page of one score file."""

import numpy as np
import pytest

from mfas import metrics
from mfas.report import ScoreGroup, build_evaluation, write_evaluation
from mfas.report import _text as text


def test_page_of_both_classes(tmp_path, report_data):
    group = report_data.score_groups[1]
    found = metrics.evaluate(
        group.bona_fide, group.attacks, group.threshold, bona_fide_subjects=group.bona_fide_subjects,
        attack_subjects=group.attack_subjects, non_response={"print_flat": 3}, draws=200,
    )  # fmt: skip
    write_evaluation(found, group, tmp_path / "page.html", "scores.csv", command="mfas evaluate scores.csv")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert html.count("<svg") == 3
    for value in (found.apcer_max, found.bpcer, found.hter, found.hter_eer, *found.apcer_by_species.values()):
        assert text.percent(value) in html
    assert "40 subjects" in html
    assert "(print flat 3)" in html
    assert "it needs 1000 attacks, there are 720" in html
    assert "mfas evaluate scores.csv" in html
    assert build_evaluation(found, group, "scores.csv", command="mfas evaluate scores.csv") == html


@pytest.mark.parametrize("threshold", [None, 0.5])
@pytest.mark.parametrize(
    ("genuine", "attacks"),
    [([0.7, 0.8], {}), ([], {"print_flat": [0.1, 0.6]}), ([0.5] * 4, {"a": [0.5] * 3}), ([0.9], {"a": [0.1]})],
)
def test_little_data_still_makes_a_page(genuine, attacks, threshold):
    found = metrics.evaluate(genuine, attacks, threshold, draws=20)
    group = ScoreGroup("", "", "", np.asarray(genuine), {k: np.asarray(v) for k, v in attacks.items()}, threshold)
    html = build_evaluation(found, group, "<odd> name.csv")
    assert "&lt;odd&gt; name.csv" in html
    for note in found.notes:
        assert note.replace("'", "&#39;") in html
    assert "nan" not in html.lower().replace("nanometre", "")
