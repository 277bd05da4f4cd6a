"""Frames of a presentation belong to one clip, and single frames keep their spread."""

from __future__ import annotations

from itertools import takewhile

import numpy as np
import pytest

from mfas.simulation import load_site, plan, render_presentation
from mfas.simulation.heads import ParametricHead
from mfas.simulation.heads.base import generator
from mfas.simulation.motion import BLINK_SECONDS, HAND_HELD, Wander, blinks, closure, face_at, pose_at
from mfas.simulation.species import ATTACKS
from mfas.simulation.stage import Stage

SITE = load_site("office")
STEP = 0.2
LIVE, HELD = "", "print_flat"


def _stage(number: int) -> Stage:
    return Stage(SITE, ParametricHead(), "a", "a", 2, 2, 1.0, ("test", number))


def _angles(number: int, species: str, frames: int = 50) -> np.ndarray:
    return np.array([pose_at(_stage(number), species, STEP * f)[0] for f in range(frames)])


@pytest.mark.parametrize("species", [LIVE, HELD])
def test_a_clip_moves_smoothly_and_less_than_presentations_differ(species: str) -> None:
    clips = np.array([_angles(n, species) for n in range(60)])
    shake = SITE.pose.shake_deg
    step = np.diff(clips, axis=1)
    between = clips[:, 0].std(axis=0)
    assert 0.3 * shake < step.std() < 1.3 * shake
    assert (step.std(axis=(0, 1)) < 0.7 * between).all()
    # the quickest a course can turn: its bound times (2 pi f)^2, and what the tremor adds
    fastest = 1.4 * shake * (2 * np.pi * 0.8 * STEP) ** 2 + 4 * 0.4 if species == HELD else 1.3 * shake * 0.4 + 4 * 0.08
    assert np.abs(np.diff(clips, n=2, axis=1)).max() < np.sqrt(10) * fastest


def test_a_long_clip_does_not_run_away() -> None:
    late = np.array([pose_at(_stage(n), LIVE, 100.0)[0] for n in range(200)])
    early = np.array([pose_at(_stage(n), LIVE, 0.0)[0] for n in range(200)])
    assert late.std(axis=0) == pytest.approx(early.std(axis=0), rel=0.2)


@pytest.mark.parametrize("species", [LIVE, HELD])
def test_single_frames_have_the_spread_of_the_site(species: str) -> None:
    angles = np.array([pose_at(_stage(n), species, 0.2 * (n % 3))[0] for n in range(1500)])
    pose = SITE.pose
    wanted = [np.hypot(sd, 1.35 * pose.shake_deg) for sd in (pose.yaw_deg, pose.pitch_deg, pose.roll_deg)]
    assert angles.std(axis=0) == pytest.approx(wanted, rel=0.08)


def test_what_a_hand_holds_trembles_faster_than_a_head() -> None:
    def quick(species: str) -> float:
        course = np.array([[pose_at(_stage(n), species, 0.01 * f)[0] for f in range(60)] for n in range(12)])
        return float(np.abs(np.diff(course, n=2, axis=1)).mean())

    assert quick(HELD) > 2 * quick(LIVE)


def test_a_hand_holds_only_what_exists() -> None:
    assert set(ATTACKS) > HAND_HELD


def test_breathing_moves_the_head_a_few_millimetres() -> None:
    times = np.arange(0, 60, 0.1)
    swings = []
    for number in range(20):
        z = np.array([pose_at(_stage(number), LIVE, float(t))[1][2] for t in times])
        power = np.abs(np.fft.rfft(z - z.mean()))
        hz = np.fft.rfftfreq(len(times), 0.1)
        inside = (hz >= 0.18) & (hz <= 0.32)
        swings.append(2 * power[inside].max() / len(times))
    assert 0.5 < np.median(swings) < 4


def test_blinks_come_about_fifteen_times_a_minute_and_last_a_frame_or_two() -> None:
    counts, lengths, frames = [], [], []
    for number in range(150):
        seen = [b for b in takewhile(lambda b: b[0] < 60, blinks(generator("blink", number))) if b[0] >= 0]
        counts.append(len(seen))
        lengths += [length for _, length in seen]
        frames += [sum(closure(generator("blink", number), t) > 0 for t in np.arange(0.0, 60, STEP)
                       if begin <= t <= begin + length) for begin, length in seen[:2]]  # fmt: skip
    assert 12 < np.mean(counts) < 18
    assert BLINK_SECONDS[0] <= min(lengths) < max(lengths) <= BLINK_SECONDS[1]
    assert set(frames) <= {0, 1, 2}
    assert np.mean(np.array(frames) > 0) > 0.7


def test_lids_close_and_open_in_time() -> None:
    begin, length = next(b for b in blinks(generator("one")) if b[0] > 0)
    course = [closure(generator("one"), begin + length * part) for part in (-0.01, 0.1, 0.4, 0.75, 0.95, 1.01)]
    assert course[0] == course[-1] == 0
    assert course[2] == 1
    assert 0 < course[1] < 1
    assert 1 > course[3] > course[4] > 0


def test_the_share_of_closed_eyes_is_that_of_people() -> None:
    lids = np.array([face_at(_stage(n), STEP * f).lids for n in range(1500) for f in range(3)])
    assert 0.03 < (lids < 0.5).mean() < 0.07


def test_expression_and_gaze_change_slowly_within_a_clip() -> None:
    faces = [[face_at(_stage(n), STEP * f) for f in range(20)] for n in range(40)]
    mood = np.array([[face.expression for face in clip] for clip in faces])
    assert np.abs(np.diff(mood, axis=1)).max() < 0.15
    assert np.diff(mood, axis=1).std() < 0.3 * mood[:, 0].std()
    gaze = np.array([[face.gaze for face in clip] for clip in faces])
    still = np.abs(np.diff(gaze, axis=1)).max(axis=2) < 1e-9
    assert 0.5 < still.mean() < 0.95, "eyes rest on something, then jump"


def test_a_course_has_unit_variance_and_its_bound() -> None:
    values = np.array([Wander.draw(generator("w", n), 3, (0.1, 0.5)).at(7.0) for n in range(1000)])
    assert values.std() == pytest.approx(1, rel=0.05)
    assert np.abs(values).max() <= np.sqrt(10)


def test_a_frame_depends_on_its_numbers_only() -> None:
    site = load_site("gate")
    number = next(n for n in range(20) if plan(site, 2, n).species == "mask_silicone")
    late = render_presentation(site, 2, number, 7)[1]
    for frame in (0, 3):
        render_presentation(site, 2, number, frame)
    again = render_presentation(site.model_copy(), 2, number, 7)[1]
    assert np.array_equal(late.rgb, again.rgb)
    assert np.array_equal(late.ir, again.ir)


def test_the_room_stands_still_while_the_person_moves() -> None:
    site = SITE.model_copy(update={"bona_fide_share": 1.0})
    first, later = (render_presentation(site, 3, 1, frame)[1].view for frame in (0, 20))
    wall = [view.z[view.part == view.part.max()] for view in (first, later)]
    assert np.median(wall[0]) == pytest.approx(np.median(wall[1]), abs=0.1)
    assert not np.array_equal(first.z, later.z)
