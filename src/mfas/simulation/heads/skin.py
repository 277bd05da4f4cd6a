"""What a head is painted with: skin, lips, brows, eyes, stubble, hair, in visible light and near infrared.

Skin reflectance is ``base * exp(-melanin * k_m - haemoglobin * k_h)`` per channel (Beer-Lambert with the order of the
absorption spectra of melanin and haemoglobin at 610, 550 and 465 nm); at 850 to 940 nm both hardly absorb.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np

from mfas.simulation._numba import kernel
from mfas.simulation.geometry import Floats
from mfas.simulation.heads.base import FaceState
from mfas.simulation.heads.template import surface

SIZE = 256
_BASE = np.array([0.72, 0.565, 0.455], np.float32)
_MELANIN = np.array([0.95, 1.20, 1.45], np.float32)
_BLOOD = np.array([0.10, 0.50, 0.44], np.float32)
_TONES = (0.05, 0.18, 0.38, 0.68, 1.05, 1.55)
_HAIR = {"black": (0.016, 0.013, 0.012), "brown": (0.07, 0.042, 0.025), "fair": (0.34, 0.24, 0.13),
         "red": (0.22, 0.08, 0.03), "grey": (0.33, 0.32, 0.31)}  # fmt: skip
_IRIS = {"brown": (0.07, 0.035, 0.02), "dark": (0.03, 0.018, 0.012), "blue": (0.17, 0.27, 0.38),
         "green": (0.16, 0.2, 0.1)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Looks:
    """The painted part of a person. ``melanin`` and ``blood`` are optical densities; lengths in mm."""

    melanin: float
    blood: float
    nir: float
    hair: Floats
    hair_nir: float
    hair_mm: float
    hairline: float
    temples: float
    long: bool
    bald: bool
    brow: tuple[float, float, float]
    lip: float
    stubble: float
    beard: float
    freckles: float
    iris: Floats
    iris_nir: float
    eye: tuple[float, float, float]
    oily: float
    phase: float
    tone: int = field(default=0)

    def hair_mask(self, y: Floats, angle: Floats) -> Floats:
        """How much hair grows at template heights ``y`` (mm) and longitudes ``angle`` (rad), [0, 1]."""
        turn = np.abs(angle)
        line = self.hairline - self.temples * np.exp(-0.5 * ((turn - 0.75) / 0.25) ** 2) * -1.0
        line = np.where(turn < 1.05, line, line - 110 * np.clip((turn - 1.05) / 0.5, 0, 1))
        low = -150.0 if self.long else -82.0
        line = np.where(turn > 1.9, low, line)
        line = line + 3 * np.sin(turn * 11 + self.phase)
        mask = np.clip((y - line) / 9 + 0.5, 0, 1)
        if self.bald:
            mask = mask * np.clip((turn - 1.2) / 0.3, 0, 1) * np.clip((62 - y) / 16, 0, 1)
        ear = np.exp(-_fourth((turn - 1.64) / 0.3) - _fourth((y + 14) / 32))
        return np.asarray(mask * (1 - ear), np.float32)


def draw_looks(rng: np.random.Generator, tone: int | None) -> Looks:
    """Draw the looks of one person; ``tone`` 0 to 5, or uniform over Fitzpatrick I to VI."""
    grade = int(rng.integers(6)) if tone is None else tone
    fair = grade < 2
    shades = ["black", "brown", "fair", "red", "grey"]
    odds = np.array([0.15, 0.4, 0.25, 0.06, 0.14] if fair else [0.66, 0.2, 0.01, 0.01, 0.12])
    shade = shades[int(rng.choice(5, p=odds / odds.sum()))]
    eyes = ["brown", "dark", "blue", "green"]
    eye_odds = np.array([0.3, 0.1, 0.4, 0.2] if fair else [0.42, 0.54, 0.02, 0.02])
    iris = _IRIS[eyes[int(rng.choice(4, p=eye_odds / eye_odds.sum()))]]
    male = rng.random() < 0.5
    grown = male and rng.random() < 0.3
    return Looks(
        melanin=max(0.02, _TONES[grade] + rng.normal(0, 0.05)),
        blood=rng.uniform(0.32, 0.62),
        nir=float(np.clip(0.58 - 0.016 * grade + rng.normal(0, 0.025), 0.45, 0.65)),
        hair=np.array(_HAIR[shade], np.float32) * rng.uniform(0.75, 1.3),
        hair_nir=rng.uniform(0.1, 0.3) if shade in ("black", "brown") else rng.uniform(0.3, 0.55),
        hair_mm=rng.uniform(3, 13),
        hairline=rng.uniform(54, 72),
        temples=rng.uniform(-4, 14),
        long=bool(not male and rng.random() < 0.6),
        bald=bool(male and rng.random() < 0.2),
        brow=(rng.uniform(2.2, 4.2), rng.uniform(0.45, 0.95), rng.uniform(-0.05, 0.14)),
        lip=rng.uniform(0.25, 0.9),
        stubble=rng.uniform(0.05, 0.4) if male else 0.0,
        beard=rng.uniform(0.5, 0.95) if grown else 0.0,
        freckles=max(0.0, rng.normal(0.0, 0.5)),
        iris=np.array(iris, np.float32) * rng.uniform(0.8, 1.2),
        iris_nir=rng.uniform(0.2, 0.36),
        eye=(rng.uniform(13.8, 16.2), rng.uniform(5.0, 6.7), rng.uniform(-0.12, 0.16)),
        oily=rng.uniform(0.1, 0.5),
        phase=rng.uniform(0, 6.28),
        tone=grade,
    )


@lru_cache(maxsize=1)
def texture_coordinates() -> tuple[Floats, Floats, Floats]:
    """Template x, y (mm) and longitude (rad) of every texel, each (SIZE, SIZE)."""
    steps = ((np.arange(SIZE) + 0.5) / SIZE).astype(np.float32)
    v, u = np.meshgrid(steps, steps, indexing="ij")
    points, angle = surface(u.ravel(), v.ravel())
    return points[:, 0].reshape(SIZE, SIZE), points[:, 1].reshape(SIZE, SIZE), angle.reshape(SIZE, SIZE)


def regions(x: Floats, y: Floats, angle: Floats) -> dict[str, Floats]:
    """Masks over the texture, by template coordinates."""
    front = (np.abs(angle) < 1.35).astype(np.float32)
    eyes = _disc(np.abs(x) - 31.5, y + 0.5, 17, 9)
    mouth = _disc(x, y + 72, 30, 13)
    nose = _disc(x, y + 30, 17, 26)
    face = (_disc(x, y + 24, 68, 98) > 0.5).astype(np.float32)
    return {"eyes": eyes * front, "mouth": mouth * front, "nose": nose * front, "face": face * front}


def paint(looks: Looks, rng: np.random.Generator) -> Floats:
    """The texture (SIZE, SIZE, 6) of a person but for the eyes."""
    x, y, angle = texture_coordinates()
    front = np.clip(np.cos(angle) * 4, 0, 1)
    side = np.abs(x)
    melanin = looks.melanin * (1 + 0.16 * _noise(rng, 10) + 0.06 * _noise(rng, 60))
    melanin = melanin + 0.10 * _bell(side - 31, y + 8, 15, 8) * front
    spots = np.clip(_noise(rng, 120) - 1.3, 0, 1) * _bell(x, y + 30, 50, 28) * looks.freckles
    melanin = melanin + 0.5 * spots * front
    blood = looks.blood * (1 + 0.22 * _noise(rng, 14)) + 0.22 * _bell(side - 38, y + 36, 17, 14) * front
    blood = blood + 0.24 * _bell(x, y + 40, 12, 12) * front
    lip = _lips(x) * front
    blood = blood + (0.4 + 0.9 * looks.lip) * lip
    nir = looks.nir * (1 + 0.02 * _noise(rng, 8)) * (1 - 0.06 * lip)
    rgb = _BASE * np.exp(-melanin[..., None] * _MELANIN - blood[..., None] * _BLOOD)
    gloss = looks.oily * (0.14 + 0.35 * _bell(x, y - 50, 40, 22) + 0.5 * _bell(x, y + 34, 10, 16)) + 0.14 * lip
    texture = np.dstack([rgb, nir, gloss, np.ones_like(nir)]).astype(np.float32)
    x_low, y_low, band = _band(-80.0, -38.0)
    nostrils = 0.92 * _bell(np.abs(x_low) - 6.5, y_low + 49.5, 3.0, 1.8) * front[band]
    _darken(texture[band], nostrils, (0.02, 0.01, 0.01), 0.12)
    between = 0.75 * np.exp(-(((y_low + 72) / 1.1) ** 2)) * (np.abs(x_low) < 23) * front[band]
    _darken(texture[band], between, (0.05, 0.015, 0.015), 0.3)
    _hair(texture, looks, rng, y, angle, front)
    return texture


def _hair(texture: Floats, looks: Looks, rng: np.random.Generator, y: Floats, angle: Floats, front: Floats) -> None:
    strands = _noise(rng, 90, stretch=10)
    tufts = _noise(rng, 70)
    _brows(texture, looks, strands, front)
    _beard(texture, looks, tufts, front)
    mask = looks.hair_mask(y, angle)
    mask = np.clip(mask * 1.15 + 0.25 * strands * (mask > 0.05) * (mask < 0.95), 0, 1)
    shade = np.clip(1 + 0.28 * strands, 0.4, 1.8)[..., None] * looks.hair
    texture[..., :3] += mask[..., None] * (shade - texture[..., :3])
    texture[..., 3] += mask * (looks.hair_nir * np.clip(1 + 0.25 * strands, 0.5, 1.6) - texture[..., 3])
    texture[..., 4] += mask * (0.10 - texture[..., 4])


def _brows(texture: Floats, looks: Looks, strands: Floats, front: Floats) -> None:
    x, y, band = _band(0.0, 44.0)
    side = np.abs(x)
    size, density, slant = looks.brow
    arc = 19 + 4.5 * np.cos((side - 32) / 16) - 4 + slant * (side - 28)
    taper = size * np.clip((52 - side) / 20, 0.25, 1)
    inside = np.clip((side - 8) / 6, 0, 1) * np.clip((53 - side) / 6, 0, 1) * front[band]
    fine = np.clip(density * (1 + 0.25 * strands[band]), 0, 1)
    brow = np.exp(-_fourth((y - arc) / taper)) * inside * fine
    _darken(texture[band], brow, tuple(looks.hair * 1.2), min(0.5, looks.hair_nir + 0.15))


def _beard(texture: Floats, looks: Looks, tufts: Floats, front: Floats) -> None:
    x, y, band = _band(-126.0, -28.0)
    side = np.abs(x)
    jaw = np.clip((-52 - y - 0.25 * np.maximum(side - 50, -30)) / 12, 0, 1) * np.clip((y + 122) / 10, 0, 1)
    lip_free = 1 - _bell(x, y + 73, 24, 8)
    chin = np.clip(jaw * lip_free + _bell(x, y + 58, 22, 5) * 0.8, 0, 1) * front[band]
    _darken(texture[band], chin * looks.stubble * 0.7, tuple(looks.hair + 0.03), 0.4)
    full = np.clip(chin * looks.beard * (1.1 + 0.22 * tufts[band]), 0, 1)
    _darken(texture[band], full, tuple(looks.hair * 1.3), looks.hair_nir)


def _band(low: float, high: float) -> tuple[Floats, Floats, slice]:
    """The x and y of the texture's rows between two heights (mm), and those rows."""
    x, y, _ = texture_coordinates()
    rows = np.nonzero((y[:, 0] > low) & (y[:, 0] < high))[0]
    band = slice(int(rows[0]), int(rows[-1]) + 1)
    return x[band], y[band], band


def paint_eyes(texture: Floats, looks: Looks, state: FaceState) -> Floats:
    """A copy of ``texture`` with both eyes as ``state`` has them: sclera, iris, pupil, lids, lashes."""
    out = texture.copy()
    half_width, half_height, slant = looks.eye
    squint = 1 - 0.35 * float(state.expression[1]) - 0.3 * float(state.expression[4])
    upper, lower = half_height * state.lids * squint, half_height * 0.62 * (0.35 + 0.65 * state.lids)
    for sign in (-1.0, 1.0):
        window = _eye_window(sign)
        x, y = (field[window] for field in texture_coordinates()[:2])
        patch = out[window]
        dx, dy = x - sign * 31.5, y + 1.0
        dy = dy - slant * (sign * dx)
        arch = np.clip(1 - (dx / half_width) ** 2, 0, 1)
        opening = np.where(dy > 0, upper * arch, lower * arch)
        level = dy + (1 - state.lids) * lower * 0.9 * arch
        opened = np.clip((opening - np.abs(level)) / 1.2 + 0.5, 0, 1) * (arch > 0) * np.clip(state.lids * 5, 0, 1)
        gx, gy = dx - state.gaze[0] * 4.0, dy - state.gaze[1] * 2.0 - 0.4
        distance = np.sqrt(gx * gx + gy * gy)
        corner = 0.12 * np.clip(np.abs(dx) / half_width - 0.5, 0, 1)
        white = np.dstack([0.62 - corner, 0.56 - 2 * corner, 0.52 - 2 * corner]).astype(np.float32)
        iris = np.clip((6.2 - distance) / 0.9 + 0.5, 0, 1)[..., None]
        pupil = np.clip((2.5 - distance) / 0.8 + 0.5, 0, 1)
        ring = looks.iris * (1.25 - 0.6 * np.clip(distance / 6.2, 0, 1))[..., None]
        colour = white * (1 - iris) + ring * iris
        colour = colour * (1 - pupil[..., None]) + 0.004 * pupil[..., None]
        shade = np.clip(0.55 + 0.45 * (opening - level) / 4.0, 0.5, 1)[..., None]
        nir = (0.46 - corner) * (1 - iris[..., 0]) + looks.iris_nir * iris[..., 0]
        nir = nir * (1 - pupil) + 0.05 * pupil
        patch[..., :3] += opened[..., None] * (colour * shade - patch[..., :3])
        patch[..., 3] += opened * (nir - patch[..., 3])
        patch[..., 4] += opened * (0.75 - patch[..., 4])
        lid_at = opening - (1 - state.lids) * lower * 0.9 * arch
        lash = np.exp(-(((dy - lid_at) / 1.3) ** 2)) * np.clip(arch * 3, 0, 1) * (dy > -lower - 2)
        _darken(patch, np.clip(0.85 * lash, 0, 1), (0.02, 0.015, 0.012), 0.22)
        crease = np.exp(-(((dy - upper * arch - 4.0) / 1.1) ** 2)) * np.clip(arch * 2, 0, 1)
        _darken(patch, 0.3 * crease, (0.06, 0.03, 0.02), 0.45)
    return out


@lru_cache(maxsize=2)
def _eye_window(sign: float) -> tuple[slice, slice]:
    x, y, angle = texture_coordinates()
    near = (np.abs(y) < 13) & (np.abs(sign * x - 31.5) < 19.5) & (np.abs(angle) < 1.2)
    rows, columns = np.nonzero(near.any(axis=1))[0], np.nonzero(near.any(axis=0))[0]
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _lips(x: Floats) -> Floats:
    out = np.zeros_like(x)
    x, y, band = _band(-84.0, -62.0)
    reach = np.clip(1 - (x / 25) ** 2, 0, 1)
    arch = reach**0.6
    bow = 5.2 * arch - 1.6 * np.exp(-((x / 4.5) ** 2))
    upper = np.clip((bow - (y + 72)) / 1.6 + 0.5, 0, 1) * (y > -72)
    lower = np.clip((8.4 * arch + (y + 72)) / 1.8 + 0.5, 0, 1) * (y <= -72)
    out[band] = (upper + lower) * (reach > 0)
    return out


def _bell(dx: Floats, dy: Floats, sx: float, sy: float) -> Floats:
    return np.asarray(np.exp(-0.5 * ((dx / sx) ** 2 + (dy / sy) ** 2)), np.float32)


def _disc(dx: Floats, dy: Floats, rx: float, ry: float) -> Floats:
    return np.asarray(np.clip((1 - (dx / rx) ** 2 - (dy / ry) ** 2) * 4 + 0.5, 0, 1), np.float32)


def _fourth(x: Floats) -> Floats:
    square = x * x
    return np.asarray(square * square)


def _darken(texture: Floats, weight: Floats, rgb: tuple[float, ...], nir: float) -> None:
    """Blend towards a colour and an infrared albedo, matt."""
    _blend(texture, np.asarray(weight, np.float32), np.array([*rgb, nir], np.float32))


@kernel
def _blend(texture: Floats, weight: Floats, colour: Floats) -> None:
    for y in range(weight.shape[0]):
        for x in range(weight.shape[1]):
            w = weight[y, x]
            if w != 0:
                for k in range(4):
                    texture[y, x, k] += w * (colour[k] - texture[y, x, k])
                texture[y, x, 4] *= 1 - w


def _noise(rng: np.random.Generator, cells: int, stretch: int = 1) -> Floats:
    """Smooth noise over the texture, unit variance, about ``cells`` blobs across, ``stretch`` times longer down."""
    coarse = rng.standard_normal((max(3, cells // stretch), cells)).astype(np.float32)
    field_ = cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    return np.asarray(field_ / (field_.std() + 1e-6), np.float32)
