"""The built-in head: the template deformed by about thirty shape and eight expression parameters, and painted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mfas.simulation.geometry import Floats, Mesh, vertex_normals
from mfas.simulation.heads.base import NEUTRAL, FaceState, Head, generator
from mfas.simulation.heads.skin import Looks, draw_looks, paint, paint_eyes, regions, texture_coordinates
from mfas.simulation.heads.template import surface, template


@dataclass(frozen=True, slots=True)
class _Person:
    vertices: Floats
    texture: Floats
    looks: Looks


class ParametricHead:
    """Draws a person per subject id: shape N(0, 1) per parameter, skin tone, hair, brows, eyes, stubble."""

    name = "parametric"
    serves_attacks = True
    varied = False

    def head(self, subject: str, state: FaceState = NEUTRAL, *, tone: int | None = None) -> Head:
        """The head of ``subject``; the same id always gives the same person."""
        key = -1 if tone is None else tone
        return _neutral(subject, key) if state is NEUTRAL else _posed(subject, state, key)

    def cast(self, subject: str, state: FaceState = NEUTRAL, *, tone: int | None = None) -> Head:
        """The head itself, which is made on the template's grid."""
        return self.head(subject, state, tone=tone)


@lru_cache(maxsize=8)
def _neutral(subject: str, tone: int) -> Head:
    """Artefacts, spectacles and hands ask for the neutral head again and again."""
    head = _posed(subject, NEUTRAL, tone)
    head.mesh.vertices.setflags(write=False)
    head.texture.setflags(write=False)
    return head


def _posed(subject: str, state: FaceState, tone: int) -> Head:
    person = _person(subject, tone)
    base = template()
    moved = np.tensordot(state.expression.astype(np.float32), base.expression, 1)
    mesh = Mesh((person.vertices + moved).astype(np.float32), base.faces, base.uv)
    texture = paint_eyes(person.texture, person.looks, state)
    vertices = person.vertices
    face_box = (
        float(vertices[:, 0].min()) + 12,
        68.0,
        float(vertices[:, 0].max()) - 12,
        float(vertices[_chin(), 1]) - 4,
    )
    return Head(mesh, texture, _regions(), face_box, base.neck)


def _chin() -> int:
    base = template()
    return int(np.argmin(np.abs(base.vertices[:, 0]) + np.abs(base.vertices[:, 1] + 112) - base.vertices[:, 2] * 0.5))


@lru_cache(maxsize=1)
def _regions() -> Mapping[str, Floats]:
    return regions(*texture_coordinates())


@lru_cache(maxsize=96)
def _person(subject: str, tone: int) -> _Person:
    rng = generator("head", subject)
    base = template()
    weights = np.clip(rng.normal(0, 1, len(base.shape)), -2.4, 2.4).astype(np.float32)
    vertices = base.vertices + np.tensordot(weights, base.shape, 1)
    looks = draw_looks(rng, None if tone < 0 else tone)
    vertices = vertices + _hair_volume(vertices, looks)
    scale = float(np.clip(rng.normal(1.0, 0.035), 0.9, 1.1))
    return _Person((vertices * scale).astype(np.float32), paint(looks, rng), looks)


@lru_cache(maxsize=1)
def _heights() -> Floats:
    base = template()
    return np.ascontiguousarray(surface(base.uv[:, 0], base.uv[:, 1])[0][:, 1])


def _hair_volume(vertices: Floats, looks: Looks) -> Floats:
    """Hair as a layer of ``looks.hair_mm`` along the normal, with locks, fading in at the hairline."""
    base = template()
    amount = looks.hair_mask(_heights(), base.angle)
    normals = vertex_normals(vertices.astype(np.float32), base.faces)
    locks = 1 + 0.12 * np.sin(base.angle * 9 + looks.phase) * np.sin(base.vertices[:, 1] * 0.05 + looks.phase)
    return np.asarray(normals * (amount * looks.hair_mm * locks)[:, None], np.float32)
