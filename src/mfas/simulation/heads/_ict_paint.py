"""The texture of an ICT head: the template's skin to the left, beside it eyes, teeth, gums, the dark of the mouth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from mfas.simulation.geometry import Floats
from mfas.simulation.heads._unwrap import frontal
from mfas.simulation.heads.skin import SIZE, Looks, paint, regions, texture_coordinates

_SIDE = 64
WIDTH = SIZE + _SIDE
_RADIUS_MM = 15.0


@dataclass(frozen=True, slots=True)
class Patch:
    """A square of the texture; ``reach`` is what its half side stands for (rad on an eyeball)."""

    row: int
    reach: float = 1.0

    @property
    def rows(self) -> slice:
        """Its rows; its columns are the last ones."""
        return slice(self.row * _SIDE, (self.row + 1) * _SIDE)

    def at(self, offset: Floats) -> Floats:
        """Texture coordinates (N, 2) of offsets (right, down) from its middle, in [-1, 1]; a rim is left free."""
        half = _SIDE / 2
        x = SIZE + half + offset[:, 0] * (half - 2)
        y = self.row * _SIDE + half + offset[:, 1] * (half - 2)
        return np.stack([x / WIDTH, y / SIZE], -1).astype(np.float32)

    def middle(self, count: int) -> Floats:
        """Its middle ``count`` times, for surfaces of one colour."""
        return self.at(np.zeros((count, 2), np.float32))


EYE, TEETH, GUM, DARK = Patch(0, 1.4), Patch(1), Patch(2), Patch(3)
SOCKET = GUM


def skin_uv(template_uv: Floats) -> Floats:
    """Texture coordinates of the template to those of the whole texture."""
    last = (SIZE - 1.0) / SIZE
    u = np.clip(template_uv[:, 0], 0.0, last) * (SIZE / WIDTH)
    return np.stack([u, template_uv[:, 1]], -1).astype(np.float32)


def painted(looks: Looks, rng: np.random.Generator) -> Floats:
    """The texture (SIZE, WIDTH, 6) of a person."""
    texture = np.empty((SIZE, WIDTH, 6), np.float32)
    texture[:, :SIZE] = paint(looks, rng)
    lash, crease = _lids()
    _blend(texture[:, :SIZE], 0.85 * lash, (0.02, 0.015, 0.012), 0.22)
    _blend(texture[:, :SIZE], 0.25 * crease, (0.06, 0.03, 0.02), 0.45)
    for patch, colour in ((TEETH, (0.47, 0.43, 0.35, 0.42, 0.3, 1)), (GUM, (0.26, 0.08, 0.075, 0.42, 0.25, 1)),
                          (DARK, (0.045, 0.012, 0.012, 0.16, 0.02, 1))):  # fmt: skip
        texture[patch.rows, SIZE:] = colour
    texture[EYE.rows, SIZE:] = _eye(looks)
    return texture


@cache
def all_regions() -> Mapping[str, Floats]:
    """The template's masks, with eyeballs, teeth and mouth where they belong."""
    out = {}
    for name, mask in regions(*texture_coordinates()).items():
        wide = np.zeros((SIZE, WIDTH), np.float32)
        wide[:, :SIZE] = mask
        wide[EYE.rows, SIZE:] = name in ("eyes", "face")
        for patch in (TEETH, GUM, DARK):
            wide[patch.rows, SIZE:] = name in ("mouth", "face")
        out[name] = wide
    out["skin"] = out["face"].copy()
    out["skin"][:, SIZE:] = 0
    return out


def _eye(looks: Looks) -> Floats:
    """Sclera, iris and pupil about straight ahead, (64, 64, 6)."""
    steps = (np.arange(_SIDE) + 0.5 - _SIDE / 2) / (_SIDE / 2 - 2) * EYE.reach
    x, y = np.meshgrid(steps, steps)
    distance = np.hypot(x, y) * _RADIUS_MM
    edge = 0.13 * np.clip(np.abs(x) / 0.8 - 0.35, 0, 1)
    white = np.dstack([0.60 - edge, 0.54 - 2 * edge, 0.50 - 2 * edge])
    iris, pupil = np.clip((5.9 - distance) / 0.9 + 0.5, 0, 1), np.clip((2.5 - distance) / 0.8 + 0.5, 0, 1)
    rim = np.exp(-(((distance - 5.6) / 0.8) ** 2))
    ring = looks.iris * (1.3 - 0.5 * np.clip(distance / 5.9, 0, 1))[..., None] * (1 - 0.45 * rim)[..., None]
    colour = white * (1 - iris)[..., None] + ring * iris[..., None]
    colour = colour * (1 - pupil)[..., None] + 0.004 * pupil[..., None]
    # the upper lid and its lashes shade the eye below them
    shade = np.clip(1.0 - 0.5 * np.clip((-y * _RADIUS_MM - 1.5) / 4.0, 0, 1), 0.4, 1)
    nir = ((0.46 - edge) * (1 - iris) + looks.iris_nir * iris) * (1 - pupil) + 0.05 * pupil
    matt = np.full_like(nir, 0.55)
    return np.dstack([colour * shade[..., None], nir * (0.4 + 0.6 * shade), matt, np.ones_like(nir)]).astype(np.float32)


_UPPER = np.array(
    [[18.0, -2.6], [20.5, 0.4], [24, 2.9], [27.8, 4.4], [33, 5.2], [38.7, 3.8], [42.5, 1.6], [45.2, -0.9]]
)


@cache
def _lids() -> tuple[Floats, Floats]:
    """Where lashes and the crease of the upper lid are painted, (SIZE, SIZE) each."""
    return _strokes(_UPPER + np.array([0, 0.3]), 1.5), _strokes(_UPPER * [0.95, 1] + [1.6, 4.8], 1.2)


def _strokes(curve: Floats, width_mm: float) -> Floats:
    """A pair of mirrored lines drawn on the template's texture; ``curve`` (N, 2) mm on the average ICT head."""
    line = frontal(np.asarray(curve, np.float32))
    fine = np.stack([np.interp(np.linspace(0, 1, 80), np.linspace(0, 1, len(line)), line[:, k]) for k in (0, 1)], -1)
    x, y, angle = texture_coordinates()
    distance = np.full(x.shape, 1e3, np.float32)
    near = (np.abs(y) < 25) & (np.abs(angle) < 1.2)
    away = np.hypot(np.abs(x[near])[:, None] - fine[None, :, 0], y[near][:, None] - fine[None, :, 1])
    distance[near] = away.min(axis=1)
    return np.asarray(cv2.GaussianBlur(np.exp(-((distance / width_mm) ** 2)), (0, 0), 0.5), np.float32)


def _blend(texture: Floats, weight: Floats, rgb: tuple[float, float, float], nir: float) -> None:
    texture[..., :3] += weight[..., None] * (np.array(rgb, np.float32) - texture[..., :3])
    texture[..., 3] += weight * (nir - texture[..., 3])
    texture[..., 4] *= 1 - weight
