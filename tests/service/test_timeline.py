"""The drawing of a site's adaptation, and network input back as pictures."""

from __future__ import annotations

import base64
from math import nan

import cv2
import numpy as np
import pytest

from mfas.card import Preprocess
from mfas.core import Modality
from mfas.data.preprocess import Capture, preprocess
from mfas.service.console.crops import pictures
from mfas.service.console.timeline import LEFT, RIGHT, WIDEST, chart
from stored import step


def test_nothing_is_drawn_of_nothing() -> None:
    assert chart([], [(3, "frozen")]) is None


def test_captures_stand_in_order_and_say_what_they_taught() -> None:
    steps = [
        (10, step(pseudo_label="bona_fide", drift=0.0)),
        (11, step(pseudo_label="attack", updated=True, loss_weight=0.5, drift=0.02)),
        (14, step(accepted=False, pseudo_label=None, reason="no evidence", drift=0.01)),
    ]
    drawn = chart(steps, [])
    assert drawn is not None
    assert [bar.kind for bar in drawn.bars] == ["bona_fide", "weight", "attack", "skipped"]
    genuine, weight, attack, skipped = drawn.bars
    assert genuine.y + genuine.height == pytest.approx(drawn.strip_middle) == attack.y
    assert (weight.y + weight.height, weight.height) == (drawn.weights_floor, 32.0)
    assert LEFT == genuine.x < weight.x == attack.x < skipped.x < RIGHT
    assert skipped.says == "skipped: no evidence"
    heights = [float(point.split(",")[1]) for point in drawn.drift.split()]
    assert heights == [drawn.drift_floor, drawn.drift_top, (drawn.drift_floor + drawn.drift_top) / 2]
    assert drawn.counts == "3 captures, 2 taken, 1 skipped"


def test_a_drift_that_is_no_number_and_a_weight_beyond_one_stay_inside() -> None:
    drawn = chart([(1, step(drift=nan)), (2, step(updated=True, loss_weight=7.0, drift=0.0))], [])
    assert drawn is not None
    assert len(drawn.drift.split()) == 1
    assert all(0 <= bar.y <= bar.y + bar.height <= drawn.height for bar in drawn.bars)


def test_events_stand_between_captures_and_never_on_each_other() -> None:
    steps = [(seq, step()) for seq in (10, 11, 20)]
    events = [(5, "frozen"), (12, "proposed"), (13, "promoted"), (14, "policy_set"), (21, "alarm")]
    drawn = chart(steps, events)
    assert drawn is not None
    assert [mark.letter for mark in drawn.marks] == ["C", "P", "!"]
    made, promoted, alarm = drawn.marks
    assert made.x == promoted.x == pytest.approx(LEFT + 2 * WIDEST)
    assert abs(made.y - promoted.y) >= 16
    assert (alarm.x, alarm.y) == (pytest.approx(LEFT + 3 * WIDEST), made.y)
    assert drawn.top > promoted.y + 8


def test_crops_come_back_as_they_went_in() -> None:
    spec = Preprocess(size=32)
    rgb = np.full((32, 32, 3), (200, 100, 50), np.uint8)
    depth = np.full((32, 32), 600, np.uint16)
    depth[:8] = 0
    depth[20:] = 560
    found = pictures(preprocess(Capture({Modality.RGB: rgb, Modality.DEPTH: depth}, None, (32, 32)), spec), spec)
    assert list(found) == ["rgb", "depth"]

    def pixels(address: str) -> np.ndarray:
        head, _, body = address.partition(",")
        assert head == "data:image/png;base64"
        return cv2.imdecode(np.frombuffer(base64.b64decode(body), np.uint8), cv2.IMREAD_UNCHANGED)

    assert np.abs(pixels(found["rgb"])[..., ::-1].astype(int) - rgb).max() <= 1
    seen = pixels(found["depth"])
    assert (seen[:8] == 0).all()
    assert seen[25, 5] > seen[12, 5] > 0
