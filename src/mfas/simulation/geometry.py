"""Meshes in millimetres, and the few solids a scene is built from.

Head coordinates: +x to the image's right, +y up, +z out of the face. Camera coordinates: +x right, +y down, +z away
from the camera; `place` goes from the first to the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfas.simulation._numba import kernel

Floats = NDArray[np.floating[Any]]
"""Real numbers; float32 unless something is being computed."""
Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Mesh:
    """A triangle mesh: ``vertices`` (V, 3) mm, ``faces`` (F, 3), ``uv`` (V, 2) in [0, 1] with v growing downwards."""

    vertices: Floats
    faces: Ints
    uv: Floats


def rotation(yaw_deg: float, pitch_deg: float, roll_deg: float) -> Floats:
    """Rotation matrix (3, 3) in head coordinates: roll about z, then pitch about x, then yaw about y."""
    y, p, r = np.deg2rad([yaw_deg, pitch_deg, roll_deg])
    cy, sy, cp, sp, cr, sr = np.cos(y), np.sin(y), np.cos(p), np.sin(p), np.cos(r), np.sin(r)
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(about_y @ about_x @ about_z, np.float32)


def place(vertices: Floats, offset: tuple[float, float, float]) -> Floats:
    """Head coordinates (V, 3) to camera coordinates; ``offset`` is where the head's origin lies, in camera mm."""
    flipped = vertices * np.array([1, -1, -1], np.float32)
    return np.ascontiguousarray(flipped + np.array(offset, np.float32), dtype=np.float32)


def vertex_normals(vertices: Floats, faces: Ints) -> Floats:
    """Unit normals (V, 3), area-weighted over the faces that meet in a vertex."""
    total = np.zeros_like(vertices)
    _add_normals(vertices, faces, total)
    return total


@kernel
def _add_normals(vertices: Floats, faces: Ints, total: Floats) -> None:
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, az = vertices[j, 0] - vertices[i, 0], vertices[j, 1] - vertices[i, 1], vertices[j, 2] - vertices[i, 2]
        bx, by, bz = vertices[k, 0] - vertices[i, 0], vertices[k, 1] - vertices[i, 1], vertices[k, 2] - vertices[i, 2]
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        for v in (i, j, k):
            total[v, 0] += nx
            total[v, 1] += ny
            total[v, 2] += nz
    for v in range(total.shape[0]):
        length = np.sqrt(total[v, 0] ** 2 + total[v, 1] ** 2 + total[v, 2] ** 2) + 1e-9
        for d in range(3):
            total[v, d] /= length


@cache
def grid_faces(rows: int, columns: int, flip: bool = False) -> Ints:
    """Two triangles per cell of a ``rows`` x ``columns`` vertex grid."""
    index = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    first = np.stack([a, c, b], -1).reshape(-1, 3)
    second = np.stack([b, c, d], -1).reshape(-1, 3)
    faces = np.concatenate([first, second])
    return np.ascontiguousarray(faces[:, ::-1] if flip else faces)


def sheet(width: float, height: float, *, bend: float = 0.0, bend_axis_deg: float = 90.0, steps: int = 25) -> Mesh:
    """A sheet of ``width`` x ``height`` mm facing +z, rolled about an in-plane axis.

    ``bend`` is the curvature in 1/mm (0 = flat, positive = edges fall back), the axis lies ``bend_axis_deg`` from +x.
    """
    u, v = np.meshgrid(np.linspace(0, 1, steps), np.linspace(0, 1, steps))
    x, y = (u - 0.5) * width, (0.5 - v) * height
    angle = np.deg2rad(bend_axis_deg)
    across = x * np.sin(angle) - y * np.cos(angle)
    if abs(bend) > 1e-6:
        arc = np.clip(across * bend, -1.5, 1.5)
        moved, z = np.sin(arc) / bend, (np.cos(arc) - 1) / bend
    else:
        moved, z = across, np.zeros_like(x)
    x, y = x + (moved - across) * np.sin(angle), y - (moved - across) * np.cos(angle)
    vertices = np.stack([x, y, z], -1).reshape(-1, 3).astype(np.float32)
    uv = np.stack([u, v], -1).reshape(-1, 2).astype(np.float32)
    return Mesh(vertices, grid_faces(steps, steps), uv)


def ellipsoid(axes: tuple[float, float, float], steps: int = 17, power: float = 1.0) -> Mesh:
    """A superellipsoid with half ``axes`` in mm about the origin; ``power`` below 1 is boxier."""
    u, v = np.meshgrid(np.linspace(0, 1, 2 * steps), np.linspace(0, 1, steps))
    longitude, polar = (u - 0.5) * 2 * np.pi, v * np.pi
    unit = np.stack([np.sin(polar) * np.sin(longitude), np.cos(polar), np.sin(polar) * np.cos(longitude)], -1)
    shaped = np.sign(unit) * np.abs(unit) ** power
    vertices = (shaped * np.array(axes)).reshape(-1, 3).astype(np.float32)
    uv = np.stack([u, v], -1).reshape(-1, 2).astype(np.float32)
    return Mesh(vertices, grid_faces(steps, 2 * steps), uv)
