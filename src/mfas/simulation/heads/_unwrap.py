"""Where a point on somebody's head lies on the template: the way to wear the template's paint on another mesh.

Frontal features are matched by landmarks (a thin-plate spline in the frontal plane), the rest by height and longitude.
Coordinates are head coordinates, mm.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.interpolate import RBFInterpolator

from mfas.simulation._numba import kernel
from mfas.simulation.geometry import Floats, Ints
from mfas.simulation.heads.template import surface

# x, y on the average ICT head, then on the template; the right half, mirrored below
_LANDMARKS = np.array(
    [
        [0, 110, 0, 112], [0, 88, 0, 88], [45, 88, 45, 88], [0, 60, 0, 58], [32, 60, 32, 58], [60, 60, 60, 59],
        [11.7, 24.1, 9, 16.5], [24.1, 26.9, 21, 18.6], [37.9, 27.6, 36, 19.3], [49.3, 24.8, 46, 18.2],
        [58.2, 17, 54, 14.5], [73.6, 1.8, 73, 5],
        [18.4, -2.5, 16.5, -1.5], [27.8, 4.4, 27.8, 4.2], [33, 5.2, 32.5, 4.9], [38.7, 3.7, 37.8, 3.7],
        [44.6, -0.7, 46.4, -0.9], [38.6, -4.3, 37.8, -4.5], [27.3, -4.2, 27.6, -4.6],
        [0, 2.4, 0, 0], [0, -18.9, 0, -23], [0, -30.9, 0, -38], [12.5, -42, 13, -45.5], [0, -47, 0, -52],
        [6.2, -45.6, 6.5, -49.5],
        [0, -59.8, 0, -68.2], [7.3, -59.2, 7.5, -67.0], [17, -62.8, 16.5, -68.0], [25.3, -70.2, 25, -72],
        [10, -68.4, 10, -72], [0, -68.6, 0, -72], [18, -75.6, 17.5, -77.8], [10.3, -78, 10, -79.7],
        [0, -78.8, 0, -80.4], [42, -26, 42, -28], [66, -30, 66, -30], [48, -60, 47, -60], [65.6, -58.6, 63, -56],
        [57.2, -79.9, 55, -79], [30.5, -104.1, 30, -104], [0, -110.7, 0, -113], [0, -98, 0, -99],
        [0, -150, 0, -150], [55, -150, 52, -150], [0, -228, 0, -236], [110, -228, 78, -236],
        [86, 1, 86, 4], [78, 11, 77, 25], [78, 26, 77, 33], [90, -25, 88, -14], [82, -48, 82, -42],
    ],
    np.float64,
)  # fmt: skip


@cache
def _spline() -> RBFInterpolator:
    pairs = np.concatenate([_LANDMARKS, _LANDMARKS[_LANDMARKS[:, 0] > 0] * [-1, 1, -1, 1]])
    return RBFInterpolator(pairs[:, :2], pairs[:, 2:], kernel="thin_plate_spline", smoothing=0.3)


def frontal(points: Floats) -> Floats:
    """Positions (N, 2) on the average ICT head to positions (N, 2) on the template, both seen from the front."""
    return np.asarray(_spline()(points.astype(np.float64)), np.float32)


def unwrap(points: Floats) -> tuple[Floats, Floats, Floats]:
    """Template texture coordinates (N, 2), heights y (N,) mm, longitudes (N,) rad of points (N, 3) of the ICT head."""
    warped = frontal(points[:, :2])
    front = _ramp(points[:, 2], -80.0, -50.0)
    back_y = np.interp(points[:, 1], [-228, -110, 0, 110], [-236, -110, 2, 112])
    y = np.clip(back_y + front * (warped[:, 1] - back_y), -239.5, 111.5)
    v = np.interp(y, *_heights())
    half, depth_front, depth_back = _extent(v)
    depth = np.where(points[:, 2] > 0, depth_front, depth_back)
    turned = np.arctan2(points[:, 0] / half, points[:, 2] / depth)
    facing = 1 - _ramp(np.abs(turned), 0.95, 1.35)
    angle = turned + facing * (_longitude(warped[:, 0], v) - turned)
    steps = np.linspace(0, 1, 4001)
    side = 2 * steps - 1
    u = np.interp(angle, np.pi * (0.44 * side + 0.56 * side**3), steps)
    return np.stack([u, v], -1).astype(np.float32), y.astype(np.float32), angle.astype(np.float32)


def _ramp(value: Floats, low: float, high: float) -> Floats:
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


@cache
def _heights() -> tuple[Floats, Floats]:
    v = np.linspace(0, 1, 2001)
    y = surface(np.full_like(v, 0.5), v)[0][:, 1]
    return y[::-1], v[::-1]


def _extent(v: Floats) -> tuple[Floats, Floats, Floats]:
    """Half width, front and back depth of the template at ``v``."""
    across = surface(np.full_like(v, _u_of(np.pi / 2)), v)[0][:, 0]
    front = surface(np.full_like(v, 0.5), v)[0][:, 2]
    back = -surface(np.zeros_like(v), v)[0][:, 2]
    return across, front, back


def _u_of(angle: float) -> float:
    roots = np.roots([0.56, 0, 0.44, -angle / np.pi])
    side = float(roots[np.abs(roots.imag) < 1e-9].real[0])
    return (side + 1) / 2


def _longitude(x: Floats, v: Floats) -> Floats:
    """The longitude in front at which the template's surface at ``v`` has ``x``; by bisection."""
    low, high = np.full_like(v, 0.5), np.full_like(v, _u_of(np.pi / 2))
    wanted = np.abs(x)
    for _ in range(24):
        middle = (low + high) / 2
        less = surface(middle, v)[0][:, 0] < wanted
        low, high = np.where(less, middle, low), np.where(less, high, middle)
    side = 2 * low - 1
    return np.asarray(np.sign(x) * np.pi * (0.44 * side + 0.56 * side**3))


@kernel
def locate(uv: Floats, radius: Floats, faces: Ints, rows: int, columns: int, found: Ints, weights: Floats) -> None:
    """For each node of a regular grid over [0, 1]², the triangle of a mesh that covers it in texture coordinates.

    Where several do, the one with the greatest ``radius`` (V,). ``found`` (rows, columns) holds faces or -1,
    ``weights`` (rows, columns, 3) the barycentric weights.
    """
    outermost = np.full((rows, columns), -1e9, np.float64)
    found[:] = -1
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        xi, xj, xk = uv[i, 0] * (columns - 1), uv[j, 0] * (columns - 1), uv[k, 0] * (columns - 1)
        yi, yj, yk = uv[i, 1] * (rows - 1), uv[j, 1] * (rows - 1), uv[k, 1] * (rows - 1)
        area = (xj - xi) * (yk - yi) - (xk - xi) * (yj - yi)
        if area == 0.0:
            continue
        for y in range(max(0, int(np.ceil(min(yi, yj, yk)))), min(rows - 1, int(np.floor(max(yi, yj, yk)))) + 1):
            for x in range(max(0, int(np.ceil(min(xi, xj, xk)))), min(columns - 1, int(np.floor(max(xi, xj, xk)))) + 1):
                wi = ((xj - x) * (yk - y) - (xk - x) * (yj - y)) / area
                wj = ((xk - x) * (yi - y) - (xi - x) * (yk - y)) / area
                wk = 1.0 - wi - wj
                if wi < -1e-6 or wj < -1e-6 or wk < -1e-6:
                    continue
                out = wi * radius[i] + wj * radius[j] + wk * radius[k]
                if out <= outermost[y, x]:
                    continue
                outermost[y, x] = out
                found[y, x] = f
                weights[y, x, 0], weights[y, x, 1], weights[y, x, 2] = wi, wj, wk
