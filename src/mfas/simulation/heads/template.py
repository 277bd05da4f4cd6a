"""The average head of the parametric source and the fields that deform it.

A stack of superellipses (cranium to neck) carries Gaussian bumps for the features. Every field is a function of the
template's own coordinates, so a feature keeps its texture wherever a shape parameter takes it. Proportions follow adult
anthropometry (bizygomatic breadth 138 mm, crown to chin 225 mm, between pupils 63 mm); origin between the eyes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.interpolate import PchipInterpolator

from mfas.simulation.geometry import Floats, Ints, grid_faces

ROWS, COLUMNS = 92, 96

# height, half width, front, back, exponent of the front half
_PROFILE = np.array(
    [
        [112, 1, 1, 1, 2.0],
        [110, 26, 24, 30, 2.0],
        [102, 46, 46, 58, 2.0],
        [88, 60, 65, 78, 2.1],
        [66, 70, 82, 93, 2.2],
        [40, 74.5, 90, 100, 2.3],
        [15, 75, 91, 100, 2.35],
        [0, 73.5, 87, 97, 2.3],
        [-20, 71, 85, 91, 2.15],
        [-45, 67, 84, 81, 2.0],
        [-70, 63, 84, 72, 1.9],
        [-90, 58, 83, 66, 1.85],
        [-105, 51, 82, 63, 1.85],
        [-114, 48, 75, 61, 1.9],
        [-121, 48, 60, 60, 2.0],
        [-131, 49, 48, 60, 2.0],
        [-150, 50, 43, 61, 2.0],
        [-190, 54, 44, 65, 2.0],
        [-240, 78, 55, 78, 2.0],
    ]
)


@dataclass(frozen=True, slots=True)
class Bump:
    """A Gaussian at (x, y) mm with widths (sx, sy), moving ``amount`` mm along ``axis``.

    ``axis`` is ``z`` (out of the face), ``x`` (away from the middle), ``y`` (up) or ``s`` (spread: x in proportion).
    ``both`` mirrors it. Fields act on the front half unless ``around``.
    """

    axis: str
    x: float
    y: float
    sx: float
    sy: float
    amount: float
    both: bool = False
    around: bool = False


def _pair(axis: str, x: float, y: float, sx: float, sy: float, amount: float) -> Bump:
    return Bump(axis, x, y, sx, sy, amount, both=True)


AVERAGE: tuple[Bump, ...] = (
    _pair("z", 24, 19, 15, 6, 4.0), Bump("z", 0, 17, 10, 6, 2.0), Bump("z", 0, 62, 40, 22, 3.0),
    _pair("z", 31, -2, 15, 10, -9.5), _pair("z", 31.5, -1, 9.5, 6.5, 6.0), _pair("z", 13, -1, 4.5, 8, -4.5),
    Bump("z", 0, -6, 4.6, 12, 7.0), Bump("z", 0, -22, 5.6, 13, 10.5), Bump("z", 0, -38, 7.2, 8.5, 15.5),
    _pair("z", 12, -43, 5.0, 5.5, 8.5), Bump("z", 0, -52, 10, 3.5, -4.0), Bump("y", 0, -40, 9, 6, -1.5),
    _pair("z", 42, -26, 16, 13, 4.5), _pair("z", 28, -56, 7, 14, -2.5),
    Bump("z", 0, -71, 26, 17, 4.5), Bump("z", 0, -66.5, 15, 4.0, 3.5), Bump("z", 0, -78, 14, 4.6, 4.2),
    Bump("z", 0, -72, 19, 1.7, -3.2), Bump("z", 0, -86.5, 15, 4.2, -4.0), Bump("z", 0, -60, 2.6, 6, -1.2),
    Bump("z", 0, -101, 15, 8.5, 6.5), _pair("z", 24, -71, 3.5, 4, -2.0),
)  # fmt: skip

SHAPE: tuple[tuple[str, tuple[Bump, ...]], ...] = (
    ("head breadth", (Bump("s", 0, 20, 1e3, 70, 3.4, around=True),)),
    ("cheekbones", (_pair("s", 60, -18, 40, 22, 3.0),)),
    ("jaw breadth", (Bump("s", 0, -92, 1e3, 26, 3.6, around=True),)),
    ("chin width", (_pair("z", 22, -104, 9, 9, 2.4), _pair("x", 20, -104, 12, 9, 2.2))),
    ("chin forward", (Bump("z", 0, -104, 22, 14, 3.2),)),
    ("face length", (Bump("y", 0, -112, 1e3, 34, 4.0, around=True),)),
    ("jaw back", (Bump("z", 0, -86, 46, 24, -3.0),)),
    ("forehead slope", (Bump("z", 0, 62, 60, 22, 3.6),)),
    ("forehead height", (Bump("y", 0, 104, 1e3, 36, 4.6, around=True),)),
    ("occiput", (Bump("s", 0, 40, 1e3, 60, -1.6, around=True), Bump("z", 0, 30, 60, 60, 1.5))),
    ("brow ridge", (_pair("z", 22, 17, 15, 6, 1.8),)),
    ("brow height", (_pair("y", 28, 18, 20, 8, 1.6),)),
    ("eye distance", (_pair("x", 31, 0, 15, 12, 1.9),)),
    ("eye depth", (_pair("z", 31, -1, 15, 10, 1.8),)),
    ("eye height", (_pair("y", 31, 0, 15, 10, 1.5),)),
    ("eye bulge", (_pair("z", 31.5, -1, 9.5, 6.5, 1.2),)),
    ("nose length", (Bump("y", 0, -41, 14, 10, 2.4),)),
    ("nose tip", (Bump("z", 0, -38, 9, 9, 2.6),)),
    ("nose bridge", (Bump("z", 0, -12, 7, 14, 2.0),)),
    ("nose hook", (Bump("z", 0, -20, 6, 6, 1.3),)),
    ("nose width", (_pair("x", 13, -43, 8, 8, 2.2), _pair("z", 13, -43, 5, 6, 0.8))),
    ("nose askew", (Bump("z", 7, -30, 6, 12, 0.9), Bump("z", -7, -30, 6, 12, -0.9))),
    ("cheek fullness", (_pair("z", 40, -58, 17, 18, 3.4),)),
    ("cheek height", (_pair("z", 42, -22, 14, 9, 1.9),)),
    ("mouth width", (_pair("x", 22, -71, 12, 10, 2.2),)),
    ("mouth height", (Bump("y", 0, -71, 30, 12, 1.8),)),
    ("upper lip", (Bump("z", 0, -66.5, 15, 4, 1.2), Bump("y", 0, -64, 16, 4, 0.9))),
    ("lower lip", (Bump("z", 0, -78, 14, 5, 1.3), Bump("y", 0, -81, 14, 4, -0.9))),
    ("mouth forward", (Bump("z", 0, -71, 24, 16, 1.9),)),
    ("neck breadth", (Bump("s", 0, -170, 1e3, 42, 4.0, around=True),)),
    ("jaw askew", (Bump("z", 26, -84, 16, 18, 1.1), Bump("z", -26, -84, 16, 18, -1.1))),
)

EXPRESSION: tuple[tuple[str, tuple[Bump, ...]], ...] = (
    ("jaw open", (Bump("y", 0, -94, 52, 20, -13.0), Bump("y", 0, -84, 20, 6, -3.0), Bump("z", 0, -75, 17, 5, -7.0))),
    ("smile", (_pair("y", 27, -68, 10, 9, 5.5), _pair("x", 26, -70, 10, 9, 4.5), _pair("z", 40, -40, 13, 10, 3.5),
               Bump("z", 0, -71, 16, 8, -2.5))),
    ("pucker", (_pair("x", 22, -72, 12, 10, -7.0), Bump("z", 0, -72, 11, 9, 5.5))),
    ("brows up", (_pair("y", 28, 20, 24, 12, 5.0),)),
    ("frown", (_pair("y", 14, 16, 10, 9, -3.6), _pair("x", 14, 16, 9, 9, -2.4), Bump("z", 0, 16, 7, 7, 1.6))),
    ("cheeks puffed", (_pair("z", 38, -62, 14, 16, 7.0),)),
    ("lips pressed", (Bump("z", 0, -72, 18, 8, -2.6), Bump("y", 0, -78, 16, 4, 1.6), Bump("y", 0, -66, 16, 4, -1.2))),
    ("nose wrinkled", (Bump("y", 0, -40, 16, 10, 2.4), _pair("z", 20, -36, 8, 8, 1.8))),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Template:
    """The average head: ``vertices`` (V, 3), ``angle`` (V,) longitude in rad (0 = front), and bases (K, V, 3)."""

    vertices: Floats
    angle: Floats
    faces: Ints
    uv: Floats
    shape: Floats
    expression: Floats
    neck: Floats


def surface(u: Floats, v: Floats) -> tuple[Floats, Floats]:
    """Template positions (N, 3) and longitudes (N,) at texture coordinates ``u``, ``v`` in [0, 1], without bumps."""
    side = 2 * u - 1
    angle = np.pi * (0.44 * side + 0.56 * side**3)
    knots_v = np.array([0.0, 0.03, 0.09, 0.16, 0.25, 0.86, 0.93, 1.0])
    knots_y = np.array([112.0, 110.0, 100.0, 84.0, 62.0, -118.0, -150.0, -240.0])
    y = PchipInterpolator(knots_v, knots_y)(v)
    heights = _PROFILE[::-1, 0]
    half, front, back, power = (PchipInterpolator(heights, _PROFILE[::-1, k])(y) for k in range(1, 5))
    sine, cosine = np.sin(angle), np.cos(angle)
    power = np.where(cosine > 0, power, 2.0)
    depth = np.where(cosine > 0, front, back)
    radius = (np.abs(sine) ** power + np.abs(cosine) ** power) ** (-1 / power)
    points = np.stack([half * radius * sine, y, depth * radius * cosine], -1)
    return points.astype(np.float32), angle.astype(np.float32)


def _field(bumps: tuple[Bump, ...], points: Floats, angle: Floats) -> Floats:
    x, y = points[:, 0], points[:, 1]
    out = np.zeros_like(points)
    front = np.clip(np.cos(angle) * 3.0, 0, 1)
    for bump in bumps:
        weight = np.exp(-0.5 * ((y - bump.y) / bump.sy) ** 2)
        right = np.exp(-0.5 * ((x - bump.x) / bump.sx) ** 2)
        left = np.exp(-0.5 * ((x + bump.x) / bump.sx) ** 2)
        gate = 1.0 if bump.around else front
        sides = right + left if bump.both else right
        if bump.axis == "z":
            out[:, 2] += bump.amount * weight * sides * gate
        elif bump.axis == "y":
            out[:, 1] += bump.amount * weight * sides * gate
        elif bump.axis == "s":
            out[:, 0] += bump.amount * weight * x / 70 * gate
            out[:, 2] += 0.3 * bump.amount * weight * points[:, 2] / 85 * gate
        else:
            out[:, 0] += bump.amount * weight * (right - left) * gate
    return out


def _ears(points: Floats, angle: Floats) -> Floats:
    """Ears as thin ridges at the sides: outwards and a little back, with a hollow in front of the rim."""
    turn = np.abs(angle) - 1.66
    y = (points[:, 1] + 14) / 29
    body = np.exp(-((np.abs(y)) ** 3)) * np.exp(-0.5 * (turn / 0.17) ** 2)
    hollow = np.exp(-(np.abs(y * 1.7) ** 2)) * np.exp(-0.5 * ((turn + 0.05) / 0.07) ** 2)
    out = np.zeros_like(points)
    out[:, 0] = np.sign(points[:, 0]) * (19 * body - 7 * hollow)
    out[:, 2] = -5 * body
    return out


@cache
def template() -> Template:
    """The template, computed once per process."""
    rows, columns = np.meshgrid(np.linspace(0, 1, ROWS), np.linspace(0, 1, COLUMNS), indexing="ij")
    u, v = columns.ravel().astype(np.float32), rows.ravel().astype(np.float32)
    base, angle = surface(u, v)
    mean = base + _field(AVERAGE, base, angle) + _ears(base, angle)
    shape = np.stack([_field(bumps, base, angle) for _, bumps in SHAPE])
    ears = _ears(base, angle)
    shape = np.concatenate([shape, 0.2 * ears[None]])
    expression = np.stack([_field(bumps, base, angle) for _, bumps in EXPRESSION])
    neck = np.clip((base[:, 1] + 205) / 85, 0, 1)
    neck = neck * neck * (3 - 2 * neck)
    uv = np.stack([u, v], -1)
    faces = grid_faces(ROWS, COLUMNS)
    return Template(mean.astype(np.float32), angle, faces, uv, shape.astype(np.float32), expression.astype(np.float32),
                    neck.astype(np.float32))  # fmt: skip
