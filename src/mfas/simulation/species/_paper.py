"""Ink on paper, and a sheet in somebody's hands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mfas.simulation.geometry import Floats, Mesh, ellipsoid, rotation
from mfas.simulation.heads import Head
from mfas.simulation.scene import Part
from mfas.simulation.species._corneas import corneas
from mfas.simulation.species._spectacles import Face, put, spectacles
from mfas.simulation.stage import Moment, Stage, head_part, plain, torso

Box = tuple[float, float, float, float]


def printed(rgb: Floats, stage: Stage) -> Floats:
    """A picture (h, w, 3) linear as ink on paper: texture (h, w, 6).

    Gamut loss and a drifted tone curve per ink; halftone rosettes; gloss by paper. In infrared, carbon black stays and
    dyes vanish, in a mixture drawn per print. Quality 0: worn-out ink (drifted, pale, milky black), coarse rosettes,
    banding; quality 1: a photo print with the gamut of good ink and fine grain.
    """
    rng = stage.rng("ink")
    careless = 1 - stage.quality
    paper = np.array([0.86, 0.85, 0.82]) * rng.uniform(0.92, 1.04)
    black = 0.012 + 0.05 * careless * rng.random()
    curve = np.exp(0.13 * (0.3 + careless) * rng.standard_normal(3))
    tone = np.clip(rgb * stage.choose("density", rng.uniform(1.3, 1.9)), 0, 1) ** curve
    grey = tone.mean(axis=2, keepdims=True)
    tone = grey + (tone - grey) * stage.choose("ink_saturation", rng.uniform(0.72 - 0.2 * careless, 1.02))
    tone = tone + (0.008 + 0.035 * careless) * _halftone(rng, tone.shape[0], tone.shape[1])
    if rng.random() < 0.3 * careless:
        tone = tone * (1 - 0.12 * (np.sin(np.arange(tone.shape[0]) * rng.uniform(0.1, 0.5)) > 0.8))[:, None, None]
    inked = np.clip(tone, 0, 1) * (paper - black) + black
    carbon = float(np.clip(rng.choice([0.06, 0.5, 1.0], p=[0.35, 0.25, 0.4]) + rng.normal(0, 0.06), 0.02, 1))
    carbon = stage.choose("carbon", carbon)
    white = stage.choose("paper_ir", rng.uniform(0.62, 0.85))
    lightness = np.clip(tone.mean(axis=2), 0.0, 1) ** rng.uniform(0.4, 0.8)
    nir = white * (1 - carbon * 0.9 * (1 - lightness)) * rng.uniform(0.85, 1.0)
    shine = rng.uniform(0.0, 0.12) if rng.random() < 0.6 else rng.uniform(0.2, 0.5)
    gloss = np.full(nir.shape, stage.choose("gloss", shine))
    texture = np.dstack([inked, np.clip(nir, 0.04, 0.9), gloss, np.ones_like(nir)])
    return np.ascontiguousarray(texture, dtype=np.float32)


def _halftone(rng: np.random.Generator, height: int, width: int) -> Floats:
    pitch = rng.uniform(2.4, 4.0)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    out = np.empty((height, width, 3), np.float32)
    for channel, turn in enumerate(np.deg2rad([15, 75, 45])):
        cosine, sine = (np.float32(2 * np.pi / pitch * f(turn)) for f in (np.cos, np.sin))
        out[..., channel] = np.sin(x * cosine + y * sine) * np.sin(y * cosine - x * sine)
    grain = cv2.GaussianBlur(rng.standard_normal(out.shape, np.float32), (0, 0), 0.7)
    return np.asarray(out + 0.5 * grain, np.float32)


@dataclass(frozen=True, slots=True)
class HeldSheet:
    """A sheet before the presenter's face: ``sheet`` in head coordinates, ``box`` of the shown face in its texture."""

    stage: Stage
    sheet: Mesh
    texture: Floats
    box: Box
    face_mm: float
    holes: bool
    behind_mm: float
    hands: bool
    person: bool = True
    worn: tuple[Part, ...] = ()
    eyes: Face | None = None

    def parts(self, moment: Moment) -> Sequence[Part]:
        """Sheet, hands, and the presenter behind."""
        out = [Part("sheet", moment.put(self.sheet), self.texture, holes=self.holes, two_sided=True, exponent=40.0)]
        if self.hands:
            out += hands(self.stage, self.sheet, moment)
        if self.person:
            x, y, z = moment.offset
            aside = Moment(moment.turn, (x, y, z + self.behind_mm), moment.face)
            out.append(head_part(presenter(self.stage, moment), aside, "presenter"))
            out.append(torso(self.stage, aside, self.stage.presenter))
            out += put((*self.worn, *corneas(self.eyes, moment.face)), aside)
        return out

    def face_points(self, moment: Moment) -> Floats:
        """Corners of the shown face on the sheet."""
        placed = moment.put(self.sheet).vertices
        u0, v0, u1, v1 = self.box
        wanted = np.array([[u0, v0], [u1, v0], [u0, v1], [u1, v1]], np.float32)
        distance = np.linalg.norm(self.sheet.uv[None] - wanted[:, None], axis=2)
        return np.asarray(placed[distance.argmin(axis=1)], np.float32)


def presenter(stage: Stage, moment: Moment) -> Head:
    """The attacker's own head."""
    return stage.source.head(stage.presenter, moment.face, tone=stage.presenter_tone)


def presenter_spectacles(stage: Stage) -> tuple[Part, ...]:
    """The attacker's own spectacles, where nothing is worn over the face."""
    return spectacles(presenter_head(stage), stage.presenter)


def presenter_head(stage: Stage) -> Head:
    """The attacker's neutral head."""
    return stage.source.head(stage.presenter, tone=stage.presenter_tone)


def hands(stage: Stage, sheet: Mesh, moment: Moment) -> list[Part]:
    """Thumbs and fists at one or two edges of the sheet."""
    rng = stage.rng("hands")
    skin = stage.source.head(stage.presenter, tone=stage.presenter_tone).texture
    colour = skin[skin.shape[0] // 2, skin.shape[1] // 2]
    texture = plain(colour[:3].tolist(), float(colour[3]), 0.05)
    sides = [(-1,), (1,), (-1, 1)][int(rng.integers(3))]
    out = []
    for side in sides:
        at_v = rng.uniform(0.55, 0.95)
        near = np.argmin(np.abs(sheet.uv[:, 0] - (side > 0)) + np.abs(sheet.uv[:, 1] - at_v))
        anchor = sheet.vertices[near] + np.array([side * 8, 0, 7], np.float32)
        thumb, fist = ellipsoid((8, 22, 7), steps=9, power=0.8), ellipsoid((24, 36, 20), steps=9, power=0.8)
        tilt = rotation(0, 0, side * rng.uniform(35, 75))
        for shape, shift in ((thumb, (0.0, 0.0, 0.0)), (fist, (side * 22.0, -24.0, -26.0))):
            vertices = shape.vertices @ tilt.T + anchor + np.array(shift, np.float32)
            mesh = Mesh(vertices.astype(np.float32), shape.faces, shape.uv)
            out.append(Part("hand", moment.put(mesh), texture, wrap=0.28))
    return out
