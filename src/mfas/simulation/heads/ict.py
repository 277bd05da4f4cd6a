"""People of the ICT Face Model Light (MIT), a statistical model of scanned heads that users download themselves."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mfas.simulation._numba import kernel
from mfas.simulation.geometry import Floats, Ints, Mesh, grid_faces, rotation, vertex_normals
from mfas.simulation.heads._ict_files import read_ict
from mfas.simulation.heads._ict_layout import layout
from mfas.simulation.heads._ict_paint import all_regions, painted
from mfas.simulation.heads.base import NEUTRAL, FaceState, Head, generator
from mfas.simulation.heads.skin import SIZE, Looks, draw_looks, paint_eyes, regions, texture_coordinates
from mfas.simulation.heads.template import COLUMNS, ROWS, template

_EXPRESSIONS: tuple[tuple[tuple[str, float], ...], ...] = (
    (("jawOpen", 0.45),),
    (("mouthSmile_L", 0.9), ("mouthSmile_R", 0.9), ("cheekSquint_L", 0.3), ("cheekSquint_R", 0.3)),
    (("mouthPucker", 0.9),),
    (("browInnerUp_L", 0.9), ("browInnerUp_R", 0.9), ("browOuterUp_L", 0.9), ("browOuterUp_R", 0.9)),
    (("browDown_L", 1.0), ("browDown_R", 1.0), ("eyeSquint_L", 0.3), ("eyeSquint_R", 0.3)),
    (("cheekPuff_L", 0.8), ("cheekPuff_R", 0.8)),
    (("mouthPress_L", 1.0), ("mouthPress_R", 1.0), ("mouthRollLower", 0.25), ("mouthRollUpper", 0.25)),
    (("noseSneer_L", 0.9), ("noseSneer_R", 0.9)),
)
"""Blend shapes and weights of each entry of `FaceState.expression`."""
_BLINK = ("eyeBlink_L", "eyeBlink_R")
_UP, _DOWN = ("eyeLookUp_L", "eyeLookUp_R"), ("eyeLookDown_L", "eyeLookDown_R")
_WANTED = (*dict.fromkeys(name for group in _EXPRESSIONS for name, _ in group), *_BLINK, *_UP, *_DOWN)
_GAZE_DEG = (24.0, 16.0)
_SHUT = 0.04
"""Jaw opening up to which teeth and tongue are not drawn."""
_YIELD = 0.18
_LONG_MM = 26.0


@dataclass(frozen=True, slots=True)
class _Person:
    vertices: Floats
    texture: Floats
    looks: Looks
    centres: tuple[Floats, ...]
    irises: Floats
    blink: dict[str, float]
    face_box: tuple[float, float, float, float]


class IctHead:
    """Draws a person per subject id: identity coefficients N(0, 1), clipped at 2.5, and the template's looks.

    ``path`` is ``ict_facekit.npz`` or the folder ``FaceXModel`` of the model's repository. Raises `InputError` that
    names the field or file which is missing, damaged or of the wrong size.
    """

    name = "ict"
    serves_attacks = True
    varied = True

    def __init__(self, path: Path) -> None:
        model = read_ict(path, _WANTED)
        self._layout = layout(model)
        kept = self._layout.kept
        self._identity = np.ascontiguousarray(model.identity[:, kept].astype(np.float32) * 10)
        self._shapes = {name: _moved(delta[kept].astype(np.float32) * 10) for name, delta in model.shapes.items()}
        self._people: OrderedDict[tuple[str, int], _Person] = OrderedDict()
        neutral, skin = self._layout.neutral, len(self._layout.height)
        front = neutral[:skin, 2] > 0
        self._lids = {
            name: (_nearest(neutral[:skin], front, (x, 4.8)), _nearest(neutral[:skin], front, (x, -4.8)))
            for name, x in zip(_BLINK, (33.0, -33.0), strict=True)
        }
        self._top = _nearest(neutral[:skin], front, (0, 68))
        self._chin = _nearest(neutral[:skin], front, (0, -110.7))
        self._sides = np.flatnonzero(
            (np.abs(self._layout.angle) < 1.3) & (neutral[:skin, 1] > -60) & (neutral[:skin, 1] < 40)
        )
        lowest = np.clip((neutral[:, 1] + 205) / 85, 0, 1)
        self._neck = np.asarray(lowest * lowest * (3 - 2 * lowest), np.float32)

    def head(self, subject: str, state: FaceState = NEUTRAL, *, tone: int | None = None) -> Head:
        """The head of ``subject``; the same id always gives the same person."""
        person = self._person(subject, tone)
        shut = state.expression[0] < _SHUT
        faces = self._layout.shut_faces if shut else self._layout.faces
        mesh = Mesh(self._moved(person, state), faces, self._layout.uv)
        return Head(mesh, person.texture, all_regions(), person.face_box, self._neck, person.irises)

    def cast(self, subject: str, state: FaceState = NEUTRAL, *, tone: int | None = None) -> Head:
        """The same face as one sheet on the template's vertex grid, with painted eyes."""
        person = self._person(subject, tone)
        moved = self._moved(person, state)
        nodes, weights = self._layout.nodes, self._layout.node_weights
        vertices = _smoothed(np.einsum("nkd,nk->nd", moved[nodes], weights).astype(np.float32))
        base = template()
        mesh = Mesh(vertices, grid_faces(ROWS, COLUMNS), base.uv)
        texture = paint_eyes(person.texture[:, :SIZE], person.looks, NEUTRAL)
        neck = np.einsum("nk,nk->n", self._neck[nodes], weights).astype(np.float32)
        return Head(mesh, texture, regions(*texture_coordinates()), person.face_box, neck, person.irises)

    def _moved(self, person: _Person, state: FaceState) -> Floats:
        out = person.vertices.copy()
        for name, weight in _weights(state).items():
            weight = weight * person.blink.get(name, 1.0)
            which, delta = self._shapes[name]
            _add(out, which, delta, weight)
        turn = rotation(_GAZE_DEG[0] * state.gaze[0], -_GAZE_DEG[1] * state.gaze[1], 0)
        # lids cut straight through the eyeball on their way down, so it makes room for them
        turn *= np.float32(1 - _YIELD * np.clip(1 - state.lids, 0, 1))
        for (where, _), centre in zip(self._layout.eyes, person.centres, strict=True):
            out[where] = (out[where] - centre) @ turn.T + centre
        return out

    def _person(self, subject: str, tone: int | None) -> _Person:
        key = (subject, -1 if tone is None else tone)
        if key not in self._people:
            self._people[key] = self._make(subject, tone)
            while len(self._people) > 64:
                self._people.popitem(last=False)
        return self._people[key]

    def _make(self, subject: str, tone: int | None) -> _Person:
        rng = generator("ict head", subject)
        weights = np.clip(rng.normal(0, 1, len(self._identity)), -2.5, 2.5).astype(np.float32)
        plan = self._layout
        vertices = plan.neutral + np.tensordot(weights, self._identity, 1)
        centres = [c + (vertices[where] - plan.neutral[where]).mean(axis=0) for where, c in plan.eyes]
        middle = (sum(centres) - sum(c for _, c in plan.eyes)) / 2 * np.array([1, 1, 0], np.float32)
        vertices = (vertices - middle).astype(np.float32)
        rng = generator("ict looks", subject)
        looks = draw_looks(rng, tone)
        texture = painted(looks, rng)
        half = float(np.abs(vertices[self._sides, 0]).max()) - 4
        box = (-half, float(vertices[self._top, 1]), half, float(vertices[self._chin, 1]) - 4)
        blink = {name: self._closing(vertices, name) / self._closing(plan.neutral, name) * 1.07 for name in _BLINK}
        vertices[: len(plan.height)] += self._hair(vertices, looks)
        centres = [c - middle for c in centres]
        eyes = [_ahead(vertices[where], c) for (where, _), c in zip(plan.eyes, centres, strict=True)]
        irises = np.stack(eyes)
        irises = irises[irises[:, 0].argsort()]
        return _Person(vertices, texture, looks, tuple(centres), irises, blink, box)

    def _closing(self, vertices: Floats, name: str) -> float:
        """How much of a blink brings the lids of these vertices together: wide eyes need more than narrow ones."""
        which, delta = self._shapes[name]
        moves = np.zeros(len(vertices), np.float32)
        moves[which] = delta[:, 1]
        upper, lower = self._lids[name]
        gap, closed = vertices[upper, 1] - vertices[lower, 1], moves[lower] - moves[upper]
        return float(np.clip(gap / closed, 0.5, 2.0)) if closed > 0.1 else 1.0

    def _hair(self, vertices: Floats, looks: Looks) -> Floats:
        """Hair as a layer of ``looks.hair_mm`` along the normal, with locks, fading in at the hairline."""
        height, angle = self._layout.height, self._layout.angle
        skin = np.ascontiguousarray(vertices[: len(height)])
        behind = np.clip((np.abs(angle) - 1.75) / 0.5, 0, 1)
        below = np.clip((-35 - height) / 25, 0, 1)
        amount = looks.hair_mask(height, angle) * (1 - below * (1 - behind)) * looks.hair_mm
        locks = 1 + 0.12 * np.sin(angle * 9 + looks.phase) * np.sin(height * 0.05 + looks.phase)
        out = vertex_normals(skin, self._layout.skin_faces) * (amount * locks)[:, None]
        if looks.long:
            # below the ears long hair stands off the neck
            hangs = np.clip((-20 - height) / 50, 0, 1) * np.clip((height + 150) / 12, 0, 1) * behind
            out += _LONG_MM * hangs[:, None] * np.stack([np.sin(angle), 0 * angle, 0.4 * np.cos(angle)], -1)
        twins = self._layout.twins
        out[len(out) - len(twins) :] = out[twins]
        return np.asarray(out, np.float32)


def _ahead(eyeball: Floats, centre: Floats) -> Floats:
    """Where an eyeball's surface (N, 3) lies straight before its centre (3,)."""
    front = eyeball[eyeball[:, 2] > centre[2]]
    nearest = front[np.hypot(*(front[:, :2] - centre[:2]).T).argmin()]
    return np.asarray([centre[0], centre[1], nearest[2]], np.float32)


def _smoothed(vertices: Floats) -> Floats:
    """Nodes (N, 3) with the folds of ears and shoulders ironed out: a sheet cannot follow them."""
    grid = vertices.reshape(ROWS, COLUMNS, 3)
    height, turn = grid[..., 1], np.abs(template().angle.reshape(ROWS, COLUMNS))
    ears = np.exp(-(((turn - 1.62) / 0.42) ** 4)) * np.exp(-(((height + 24) / 48) ** 4))
    weight = np.maximum(ears, np.clip((-135 - height) / 30, 0, 1))[..., None]
    return np.asarray(grid + weight * (cv2.GaussianBlur(grid, (0, 0), 1.6) - grid), np.float32).reshape(-1, 3)


def _weights(state: FaceState) -> dict[str, float]:
    """Weights of the blend shapes that do something in ``state``."""
    out: dict[str, float] = {}
    for amount, group in zip(state.expression.tolist(), _EXPRESSIONS, strict=True):
        for name, weight in group:
            if amount > 0.004:
                out[name] = amount * weight
    shut, up = float(np.clip(1 - state.lids, 0, 1)), float(np.clip(state.gaze[1], -1, 1))
    for names, weight in ((_BLINK, shut), (_UP, max(up, 0) * (1 - shut)), (_DOWN, max(-up, 0) * (1 - shut))):
        for name in names:
            if weight > 0.004:
                out[name] = weight
    return out


@kernel
def _add(out: Floats, which: Ints, delta: Floats, weight: float) -> None:
    for i in range(which.shape[0]):
        for d in range(3):
            out[which[i], d] += np.float32(weight) * delta[i, d]


def _moved(delta: Floats) -> tuple[Ints, Floats]:
    """Numbers of the vertices that a blend shape moves by 5 µm or more, and how."""
    which = np.flatnonzero(np.abs(delta).max(axis=1) > 0.005).astype(np.int32)
    return which, np.ascontiguousarray(delta[which])


def _nearest(points: Floats, allowed: NDArray[np.bool_], at: tuple[float, float]) -> int:
    return int(np.argmin(np.hypot(points[:, 0] - at[0], points[:, 1] - at[1]) + 1e3 * ~allowed))
