"""A living face partly covered by a print of another."""

from __future__ import annotations

import cv2
import numpy as np

from mfas.simulation.geometry import Floats, Mesh, rotation, sheet
from mfas.simulation.heads import Head
from mfas.simulation.scene import Part
from mfas.simulation.species._drape import drape
from mfas.simulation.species._paper import printed
from mfas.simulation.species._portrait import SIZE, Portrait, portrait
from mfas.simulation.species.live import in_person
from mfas.simulation.stage import Prop, Stage

PIECES = {
    "eyes": (0.0, 0.2, 1.0, 0.5),
    "lower": (0.02, 0.46, 0.98, 1.02),
    "nose_mouth": (0.2, 0.4, 0.8, 0.88),
    "left": (-0.02, -0.02, 0.5, 1.02),
    "right": (0.5, -0.02, 1.02, 1.02),
}
"""Parts of a face that are printed: left, top, right, bottom in fractions of the face box."""


class PartialPaper:
    """A strip, a half or a patch of the victim's face over the presenter's living one.

    Quality 0: stiff paper that stands off the face, badly placed, scaled and cut, with the poor ink of a careless
    print. Quality 1: placed where it belongs, pressed to the face (a gap of 1.5 mm), cut cleanly, printed well. At any
    quality the paper's edge is a step, it bends in one direction only, and skin shows beside it.
    """

    name = "partial_paper"

    def prepare(self, stage: Stage) -> Prop:
        """Print, cut out one piece and put it on."""
        rng = stage.rng("piece")
        own = stage.source.head(stage.presenter, tone=stage.presenter_tone)
        piece = PIECES[str(rng.choice(list(PIECES)))]
        photo = portrait(stage, 0.7)
        rows, columns = _window(photo, piece)
        texture = printed(np.ascontiguousarray(photo.rgb[rows, columns]), stage)
        texture[..., 5] = _cut_edge(rng, texture.shape[0], texture.shape[1], 1 - stage.quality)
        if rng.random() < stage.quality:  # cut along the outline of the face
            texture[..., 5] *= photo.masks["face"][rows, columns] > 0.5
        mesh = _placed(stage, own, piece, rng)
        paper = Part("paper", mesh, texture, holes=True, two_sided=True, exponent=40.0)
        return in_person(stage, stage.presenter, stage.presenter_tone, (paper,))


def _window(photo: Portrait, piece: tuple[float, float, float, float]) -> tuple[slice, slice]:
    """Rows and columns of that part of the photographed face."""
    u0, v0, u1, v1 = photo.box
    left, right = (int((u0 + f * (u1 - u0)) * SIZE) for f in (piece[0], piece[2]))
    top, bottom = (int((v0 + f * (v1 - v0)) * SIZE) for f in (piece[1], piece[3]))
    return slice(max(0, top), min(SIZE, bottom)), slice(max(0, left), min(SIZE, right))


def _placed(stage: Stage, own: Head, piece: tuple[float, float, float, float], rng: np.random.Generator) -> Mesh:
    careless = 1 - stage.quality
    left, top, right, bottom = own.face_box
    width, height = right - left, top - bottom
    scale = 1 + rng.normal(0, 0.02 + 0.08 * careless)
    mesh = sheet((piece[2] - piece[0]) * width * scale, (piece[3] - piece[1]) * height * scale, steps=25)
    middle = (left + (piece[0] + piece[2]) / 2 * width, top - (piece[1] + piece[3]) / 2 * height)
    shift = rng.normal(0, 1 + 5 * careless, 2)
    tilt = rotation(0, 0, rng.normal(0, 1 + 5 * careless))
    flat = mesh.vertices @ tilt.T
    flat[:, :2] += np.array(middle) + shift
    # beside the nose paper falls back to the cheeks in a curve about the vertical axis
    flat[:, 2] = -(flat[:, 0] ** 2) / (2 * rng.uniform(85, 110 + 250 * careless))
    placed = Mesh(flat.astype(np.float32), mesh.faces, mesh.uv)
    gap = stage.choose("gap_mm", 1.5 + rng.uniform(0.5, 6) * careless)
    drape(placed, own, gap_mm=gap, follow=0.25 + 0.75 * stage.quality)
    return placed


def _cut_edge(rng: np.random.Generator, height: int, width: int, careless: float) -> Floats:
    """Alpha (h, w) of scissors' work: round corners, and a wavering line where little care was taken."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waver = cv2.resize(rng.standard_normal((5, 5)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    margin = 1.5 + np.clip(4 * careless * (0.6 + waver), 0, 12)
    inset = np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, height - 1 - y))
    radius = rng.uniform(4, 16)
    dx = np.maximum(radius - np.minimum(x, width - 1 - x), 0)
    dy = np.maximum(radius - np.minimum(y, height - 1 - y), 0)
    return np.asarray((inset > margin) & (np.hypot(dx, dy) < radius), np.float32)
