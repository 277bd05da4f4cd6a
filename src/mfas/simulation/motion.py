"""How a presentation moves: a clip is a function of time, drawn once per presentation.

People drift, breathe, blink, look about and change their expression slowly; what is held in a hand sways and trembles.
Between two instants everything is continuous, so that frames at any rate belong to one clip.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mfas.simulation.geometry import Floats
from mfas.simulation.heads import EXPRESSIONS, FaceState
from mfas.simulation.stage import Stage

HAND_HELD = frozenset({"print_flat", "print_curved", "replay_lcd", "replay_oled", "fake_head"})
"""Species that a hand presents; the others are worn, and move as a head does."""

BLINKS_PER_MINUTE = 15.0
BLINK_SECONDS = (0.14, 0.3)
_CLOSED, _REOPENS = 0.25, 0.55
_TERMS = 5


@dataclass(frozen=True, slots=True)
class Wander:
    """Smooth noise in time, unit variance: a sum of slow sinusoids ``hz`` and ``phase`` (count, terms)."""

    hz: Floats
    phase: Floats

    @staticmethod
    def draw(rng: np.random.Generator, count: int, hz: tuple[float, float]) -> Wander:
        """``count`` independent courses with frequencies within ``hz``."""
        shape = (count, _TERMS)
        return Wander(rng.uniform(*hz, shape), rng.uniform(0, 2 * np.pi, shape))

    def at(self, seconds: float) -> Floats:
        """The courses (count,) at a time; their bound is the root of twice the number of terms."""
        waves = np.cos(2 * np.pi * self.hz * seconds + self.phase)
        return np.asarray(np.sqrt(2 / _TERMS) * waves.sum(axis=1))


def pose_at(stage: Stage, species: str, seconds: float) -> tuple[Floats, Floats]:
    """Angles (yaw, pitch, roll) in degrees and a shift in mm (3,), ``seconds`` into a clip; species ``""`` = live."""
    pose = stage.site.pose
    spread = np.array([pose.yaw_deg, pose.pitch_deg, pose.roll_deg])
    drawn = np.clip(stage.rng("pose").normal(0, 1, 3), -2.2, 2.2) * spread
    base = np.array([stage.choose(n, a) for n, a in zip(("yaw_deg", "pitch_deg", "roll_deg"), drawn, strict=True)])
    rng = stage.rng("motion")
    angles, shift = _hand(rng, seconds) if species in HAND_HELD else _head(rng, seconds)
    tremor = 0.08 if species not in HAND_HELD else rng.uniform(0.15, 0.4)
    trembles = Wander.draw(rng, 6, (4.0, 10.0)).at(seconds)
    angles = base + pose.shake_deg * angles + tremor * trembles[:3]
    return angles.astype(np.float32), (shift + 2 * tremor * trembles[3:]).astype(np.float32)


def _head(rng: np.random.Generator, seconds: float) -> tuple[Floats, Floats]:
    """Slow drift of a person who stands, and breathing: 0.2 to 0.3 Hz, a few mm forth and up."""
    drift = Wander.draw(rng, 6, (0.1, 0.5)).at(seconds)
    breath = np.sin(2 * np.pi * rng.uniform(0.2, 0.3) * seconds + rng.uniform(0, 2 * np.pi))
    depth, lift = rng.uniform(1.0, 3.0), rng.uniform(0.4, 1.2)
    return 1.3 * drift[:3], 3.0 * drift[3:] + breath * np.array([0.0, lift, -depth])


def _hand(rng: np.random.Generator, seconds: float) -> tuple[Floats, Floats]:
    """The wider and faster sway of an arm."""
    sway = Wander.draw(rng, 6, (0.2, 0.8)).at(seconds)
    return 1.4 * sway[:3], 3.6 * sway[3:]


def face_at(stage: Stage, seconds: float) -> FaceState:
    """The living face, of the subject or of who presents an artefact, ``seconds`` into a clip."""
    rng = stage.rng("face")
    scale = stage.site.population.expression
    mood = np.clip(rng.normal(0, 0.45 * scale, EXPRESSIONS), 0, 0.9)
    lids = float(rng.uniform(0.75, 1.05))
    middle = rng.normal(0, 1, 2) * (0.22, 0.15)
    mood = mood + 0.12 * scale * Wander.draw(stage.rng("mood"), EXPRESSIONS, (0.05, 0.3)).at(seconds)
    right, up = middle + _glance(stage.rng("gaze"), seconds) * (0.06, 0.04)
    return FaceState(
        np.clip(mood, 0, 1).astype(np.float32),
        lids * (1 - closure(stage.rng("blinks"), seconds)),
        (float(right), float(up)),
    )


def blinks(rng: np.random.Generator) -> Iterator[tuple[float, float]]:
    """Begin and length of every blink of a presentation, seconds, without end; it starts well before the clip."""
    pause = 60 / (BLINKS_PER_MINUTE * float(np.clip(rng.lognormal(0, 0.3), 0.4, 2)))
    now = -30.0
    while True:
        length = float(rng.uniform(*BLINK_SECONDS))
        now += 0.4 + float(rng.exponential(max(0.2, pause - 0.4 - length)))
        yield now, length
        now += length


def closure(rng: np.random.Generator, seconds: float) -> float:
    """How far blinking has closed the lids, 0 to 1: they fall fast, stay shut, and rise slower."""
    for begin, length in blinks(rng):
        if begin + length <= seconds:
            continue
        part = (seconds - begin) / length
        if part <= 0:
            return 0.0
        at = part / _CLOSED if part < _CLOSED else (1 - part) / (1 - _REOPENS)
        at = min(1.0, at)
        return at * at * (3 - 2 * at)
    raise AssertionError("unreachable: blinks never end")


def _glance(rng: np.random.Generator, seconds: float) -> Floats:
    """Where the eyes rest (right, up), unit variance: jumps of 40 ms between fixations."""
    now, before, here = -3.0, rng.standard_normal(2), rng.standard_normal(2)
    while (nxt := now + 0.25 + float(rng.exponential(0.8))) <= seconds:
        now, before, here = nxt, here, rng.standard_normal(2)
    part = min(1.0, (seconds - now) / 0.04)
    return np.asarray(before + part * (here - before))
