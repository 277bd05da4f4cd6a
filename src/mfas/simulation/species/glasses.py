"""A living face behind glasses with printed or painted eyes."""

from __future__ import annotations

import cv2
import numpy as np

from mfas.simulation.geometry import Floats
from mfas.simulation.scene import Part
from mfas.simulation.species._paper import printed
from mfas.simulation.species._portrait import SIZE, Portrait, portrait
from mfas.simulation.species._spectacles import Frame, frame_mesh, lens_mesh, survey
from mfas.simulation.species.live import in_person
from mfas.simulation.stage import Prop, Stage, plain

_LENS = 96


class Glasses:
    """Opaque lenses hide the presenter's eyes; the rest of the face lives.

    Quality 0: funny-eye glasses: thick bright frame, cartoon eyes larger than life on glossy plastic. Quality 1: an
    ordinary frame whose lenses carry the victim's eyes, printed at life size in the victim's colours. Between them the
    odds, sizes and ink change. At any quality the lenses are opaque and smooth: no eye sockets in depth, no pupils and
    no lens glint in infrared but the ink's or the paint's reflectance.
    """

    name = "glasses"

    def prepare(self, stage: Stage) -> Prop:
        """Choose a frame, cover its lenses, put it on."""
        rng = stage.rng("glasses")
        careless = 1 - stage.quality
        own = stage.source.head(stage.presenter, tone=stage.presenter_tone)
        face = survey(own)
        worn: tuple[Part, ...] = ()
        if face is not None:
            shape = Frame(rng.uniform(24, 27) + 3 * careless, rng.uniform(16, 20) + 6 * careless,
                          rng.uniform(1.2, 2.0) + 2.5 * careless, rng.uniform(2.1, 4.0), reach=15.0)  # fmt: skip
            funny = rng.random() < careless
            lens = _funny(rng) if funny else _printed_eyes(stage, shape, _enlarged(stage, rng))
            dark = np.array([0.015, 0.014, 0.014]) * rng.uniform(0.6, 3)
            rgb = dark if rng.random() < 0.3 + 0.6 * stage.quality else rng.uniform(0.03, 0.7, 3)
            frame = plain(rgb.tolist(), stage.choose("frame_ir", rng.uniform(0.05, 0.6)), 0.12 + 0.2 * careless)
            worn = (
                Part("frame", frame_mesh(face, shape), frame, two_sided=True, exponent=50.0),
                Part("printed eyes", lens_mesh(face, shape, bow_mm=400.0), lens, two_sided=True, exponent=60.0),
            )
        return in_person(stage, stage.presenter, stage.presenter_tone, worn)


def _enlarged(stage: Stage, rng: np.random.Generator) -> float:
    return stage.choose("eye_scale", 1 + rng.uniform(0, 0.5) * (1 - stage.quality))


def _printed_eyes(stage: Stage, shape: Frame, enlarge: float) -> Floats:
    """The victim's eyes on paper, one lens beside the other (h, 2h, 6)."""
    photo = portrait(stage, 0.75)
    return printed(np.hstack([_eye(photo, side, shape, enlarge) for side in (0, 1)]), stage)


def _eye(photo: Portrait, side: int, shape: Frame, enlarge: float) -> Floats:
    """A lens-shaped cut-out of the photograph about one eye; ``enlarge`` is the size it is printed at."""
    mask = photo.masks["eyes"] > 0.5
    middle = round((photo.box[0] + photo.box[2]) / 2 * SIZE)
    half = mask[:, middle:] if side else mask[:, :middle]
    rows, columns = np.nonzero(half)
    v0, v1 = photo.box[1], photo.box[3]
    fallback = (v0 + 0.38 * (v1 - v0)) * SIZE, middle + (side - 0.5) * 0.36 * (v1 - v0) * SIZE
    y, x = (rows.mean(), columns.mean() + side * middle) if len(rows) else fallback
    pixels = (v1 - v0) * SIZE / photo.face_mm / enlarge
    matrix = np.array([[2 * shape.width * pixels / _LENS, 0, x - shape.width * pixels],
                       [0, 2 * shape.height * pixels / _LENS, y - shape.height * pixels]], np.float32)  # fmt: skip
    return np.asarray(cv2.warpAffine(photo.rgb, matrix, (_LENS, _LENS), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                                     borderMode=cv2.BORDER_REPLICATE))  # fmt: skip


def _funny(rng: np.random.Generator) -> Floats:
    """Cartoon eyes on plastic (h, 2h, 6): white, a coloured disc, a black one, perhaps blood-shot or half-shut."""
    y, x = (np.mgrid[:_LENS, :_LENS].astype(np.float32) + 0.5) / _LENS * 2 - 1
    ground = np.array([1, 1, 0.97]) * rng.uniform(0.55, 0.85)
    iris, size = rng.uniform(0.02, 0.5, 3), rng.uniform(0.35, 0.6)
    paint_nir, lid = rng.uniform(0.4, 0.85), rng.uniform(-1.6, -0.1)
    lenses = []
    for _ in range(2):
        distance = np.hypot(x - rng.normal(0, 0.12), y - rng.normal(0, 0.12))
        lens = np.ones((_LENS, _LENS, 6), np.float32)
        lens[..., :3], lens[..., 3] = ground, paint_nir
        lens[distance < size] = [*iris, paint_nir * 0.85, 0, 1]
        lens[distance < size * 0.45] = [0.01, 0.01, 0.01, paint_nir * 0.4, 0, 1]
        lens[y < lid] = [*(iris * 0.6), paint_nir * 0.8, 0, 1]
        lens[..., 4] = 0.25
        lenses.append(cv2.GaussianBlur(lens, (0, 0), 0.8))
    return np.ascontiguousarray(np.hstack(lenses), dtype=np.float32)
