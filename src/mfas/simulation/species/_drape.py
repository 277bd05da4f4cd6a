"""Paper laid over a face."""

from __future__ import annotations

import cv2
import numpy as np

from mfas.simulation.geometry import Floats, Mesh
from mfas.simulation.heads import Head

_REACH_MM = 9.0
_NOTHING = np.float32(-1e3)


def relief(head: Head, points: Floats) -> Floats:
    """Distance z (N,) mm of a head's front surface at ``points`` (N, 2); -1000 beside it."""
    front = head.mesh.vertices[head.mesh.vertices[:, 2] > 0]
    low = points.min(axis=0) - _REACH_MM
    size = np.ceil((points.max(axis=0) + _REACH_MM - low) / 2).astype(int) + 1
    cells = np.rint((front[:, :2] - low) / 2).astype(int)
    inside = ((cells >= 0) & (cells < size)).all(axis=1)
    grid = np.full((size[1], size[0]), _NOTHING, np.float32)
    np.maximum.at(grid, (cells[inside, 1], cells[inside, 0]), front[inside, 2])
    grid = cv2.dilate(grid, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
    at = np.rint((points - low) / 2).astype(int)
    return np.asarray(grid[at[:, 1], at[:, 0]], np.float32)


def drape(mesh: Mesh, head: Head, *, gap_mm: float, follow: float, free: Floats | None = None) -> None:
    """Move a square grid of vertices out along z until it lies ``gap_mm`` before the face.

    Stiff paper (``follow`` 0) rests on the foremost point; paper pressed on (1) bends about the vertical axis with the
    face, since paper does not bend in two directions at once. ``free`` (N,) is 1 where there is a hole.
    """
    steps = round(len(mesh.vertices) ** 0.5)
    need = relief(head, mesh.vertices[:, :2]) + gap_mm - mesh.vertices[:, 2]
    if free is not None:
        need = np.where(free > 0.5, _NOTHING, need)
    lift = np.maximum(need, -60).reshape(steps, steps)
    columns = np.broadcast_to(lift.max(axis=0), lift.shape).astype(np.float32)
    bent = np.maximum(cv2.GaussianBlur(columns, (0, 0), 1.2), columns)
    pressed = cv2.GaussianBlur(cv2.dilate(lift.astype(np.float32), np.ones((3, 3), np.uint8)), (0, 0), 1.2)
    near = bent + 0.6 * (pressed - bent) * follow
    mesh.vertices[:, 2] += (follow * near + (1 - follow) * lift.max()).ravel().astype(np.float32)
