"""What the vertices of the ICT Face Model Light are, and how they are unwrapped and joined for rendering."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from mfas.simulation.geometry import Floats, Ints
from mfas.simulation.heads._ict_files import IctModel
from mfas.simulation.heads._ict_paint import DARK, EYE, GUM, SOCKET, TEETH, Patch, skin_uv
from mfas.simulation.heads._unwrap import locate, unwrap
from mfas.simulation.heads.template import COLUMNS, ROWS

SKIN = (0, 11_248)
_INSIDE = ((11_248, 13_294, DARK), (13_294, 14_062, SOCKET), (14_062, 17_039, GUM), (17_039, 21_451, TEETH))
_EYEBALLS = ((21_451, 22_221), (23_021, 23_791))
"""The outer shells, cornea included; the iris shells behind them, lacrimal fluid, occlusion and lashes stay out."""
_HIDDEN = (3, 4)
"""Gums with tongue, and teeth, in the order in which groups are joined: skin first."""
_EYE_REACH = 1.35

SHIFT_MM = np.array([0, -35, -12], np.float32)
"""From the model's origin to head coordinates: between the eyes, face about 85 mm before it."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The part of the model that is rendered, in head coordinates (mm), ``V`` vertices.

    ``kept`` (V,) numbers them in the model; skin first, then mouth, teeth and eyeballs. ``height`` and ``angle``
    (skin,) are template coordinates of the skin, whose last vertices double those numbered in ``twins``, along the
    seam at the back. ``shut_faces`` leave out what a closed mouth hides. ``eyes`` are the eyeballs' vertex ranges with
    their centres. ``nodes`` (N, 3) and ``node_weights`` (N, 3) make the template's vertex grid of rendered vertices.
    """

    kept: Ints
    neutral: Floats
    faces: Ints
    shut_faces: Ints
    uv: Floats
    height: Floats
    angle: Floats
    skin_faces: Ints
    twins: Ints
    eyes: tuple[tuple[slice, Floats], ...]
    nodes: Ints
    node_weights: Floats


def layout(model: IctModel) -> Layout:
    """Choose, unwrap and join the vertices of ``model``."""
    points = (model.neutral * 10 + SHIFT_MM).astype(np.float32)
    triangles = np.concatenate([model.quads[:, :3], model.quads[model.quads[:, 3] >= 0][:, [0, 2, 3]]])
    template_uv, height, angle = unwrap(points[: SKIN[1]])
    skin, source, template_uv = _cut_seam(triangles[(triangles < SKIN[1]).all(axis=1)], template_uv)
    joined = _Joined([source], [skin], [skin_uv(template_uv)])
    for first, last, patch in _INSIDE:
        joined.add(triangles, first, last, patch.middle(last - first), np.ones(last - first, bool))
    eyes = []
    for first, last in _EYEBALLS:
        centre = _sphere(points[first:last])
        polar, at = _eye_uv(points[first:last] - centre, EYE)
        eyes.append((joined.add(triangles, first, last, at, polar < _EYE_REACH), centre))
    kept, faces, uv = np.concatenate(joined.kept), np.concatenate(joined.faces), np.concatenate(joined.uv)
    shut = [part for number, part in enumerate(joined.faces) if number not in _HIDDEN]
    neutral = np.ascontiguousarray(points[kept])
    nodes, weights = _grid(neutral, template_uv, faces, eyes)
    return Layout(
        kept=kept,
        neutral=neutral,
        faces=faces,
        shut_faces=np.concatenate(shut),
        uv=uv,
        height=height[source],
        angle=angle[source],
        skin_faces=skin,
        twins=source[SKIN[1] :],
        eyes=tuple(eyes),
        nodes=nodes,
        node_weights=weights,
    )


@dataclass(slots=True)
class _Joined:
    """Groups of vertices under construction: numbers in the model, faces in the new numbering, texture coordinates."""

    kept: list[Ints]
    faces: list[Ints]
    uv: list[Floats]

    def add(self, triangles: Ints, first: int, last: int, uv: Floats, wanted: NDArray[np.bool_]) -> slice:
        """Append the vertices ``first`` to ``last`` and the triangles between ``wanted`` (last - first,) ones.

        Where triangles join them to the skin, that rim is doubled, since it cannot have two places in the texture.
        """
        start = sum(len(part) for part in self.kept)
        inside = (triangles >= first) & (triangles < last)
        own = triangles[(inside | (triangles < SKIN[1])).all(axis=1) & inside.any(axis=1)]
        rim = np.unique(own[own < first]).astype(np.int32)
        number = np.zeros(last, np.int32)
        number[first:last] = np.arange(last - first)
        number[rim] = np.arange(len(rim)) + last - first
        local = number[own]
        allowed = np.concatenate([wanted, np.ones(len(rim), bool)])
        self.kept.append(np.concatenate([np.arange(first, last, dtype=np.int32), rim]))
        self.faces.append((local[allowed[local].all(axis=1)] + start).astype(np.int32))
        self.uv.append(np.concatenate([uv, np.repeat(uv[:1], len(rim), axis=0)]))
        return slice(start, start + last - first)


def _cut_seam(faces: Ints, uv: Floats) -> tuple[Ints, Ints, Floats]:
    """Give triangles that straddle the seam at the back of the head vertices of their own.

    Returns the faces, the old number of every new vertex, and the new texture coordinates.
    """
    u = uv[:, 0][faces]
    across = u.max(axis=1) - u.min(axis=1) > 0.5
    left = across[:, None] & (u < 0.5)
    twins, inverse = np.unique(faces[left], return_inverse=True)
    out = faces.copy()
    out[left] = len(uv) + inverse
    source = np.concatenate([np.arange(len(uv)), twins]).astype(np.int32)
    moved = uv[twins] + np.array([1, 0], np.float32)
    return out.astype(np.int32), source, np.concatenate([uv, moved]).astype(np.float32)


def _sphere(points: Floats) -> Floats:
    """Centre (3,) of the sphere nearest to the points, by least squares."""
    system = np.c_[2 * points, np.ones(len(points))].astype(np.float64)
    solved = np.linalg.lstsq(system, (points.astype(np.float64) ** 2).sum(axis=1), rcond=None)[0]
    return np.asarray(solved[:3], np.float32)


def _eye_uv(points: Floats, patch: Patch) -> tuple[Floats, Floats]:
    """Angles (N,) from straight ahead, and texture coordinates (N, 2) of points about an eyeball's centre."""
    length = np.linalg.norm(points, axis=1) + 1e-6
    polar = np.arccos(np.clip(points[:, 2] / length, -1, 1))
    across = np.linalg.norm(points[:, :2], axis=1, keepdims=True) + 1e-6
    direction = points[:, :2] / across * np.array([1, -1], np.float32)
    return polar, patch.at(direction * np.minimum(polar / patch.reach, 1.0)[:, None])


def _grid(points: Floats, template_uv: Floats, faces: Ints, eyes: list[tuple[slice, Floats]]) -> tuple[Ints, Floats]:
    """The template's vertex grid as weighted sums of three rendered vertices: skin, and eyeballs in the openings."""
    everywhere = np.full((len(points), 2), -9, np.float32)
    everywhere[: len(template_uv)] = template_uv
    for where, _ in eyes:
        everywhere[where] = unwrap(points[where])[0]
    covering = faces[(everywhere[faces] > -5).all(axis=(1, 2))]
    radius = np.hypot(points[:, 0], points[:, 2])
    found, weights = np.empty((ROWS, COLUMNS), np.int32), np.zeros((ROWS, COLUMNS, 3), np.float32)
    locate(everywhere, radius, covering, ROWS, COLUMNS, found, weights)
    nearest = distance_transform_edt(found < 0, return_distances=False, return_indices=True)
    found, weights = found[tuple(nearest)], weights[tuple(nearest)]
    return np.ascontiguousarray(covering[found.ravel()]), weights.reshape(-1, 3)
