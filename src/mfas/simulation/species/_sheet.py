"""From a portrait to a sheet of paper of a given size and bend."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mfas.simulation.geometry import Floats, Mesh, rotation, sheet
from mfas.simulation.species._drape import drape
from mfas.simulation.species._paper import HeldSheet, presenter_head, presenter_spectacles, printed
from mfas.simulation.species._portrait import SIZE, portrait
from mfas.simulation.species._spectacles import survey
from mfas.simulation.stage import Stage


def held_print(
    stage: Stage, *, bend: float = 0.0, bend_axis_deg: float = 90.0, cut: tuple[str, ...] = (), mould: float = 0.0
) -> HeldSheet:
    """Print the victim, cut out the regions named in ``cut``, and hold it up with curvature ``bend`` (1/mm).

    ``mould`` in [0, 1] is how far it takes the relief of the face behind it.
    """
    rng = stage.rng("sheet")
    fraction = rng.uniform(0.48, 0.76)
    photo = portrait(stage, fraction)
    aspect = rng.uniform(0.68, 0.8) if rng.random() < 0.75 else rng.uniform(1.0, 1.3)
    rows, columns = photo.cropped(aspect)
    # photo printers leave a white margin, which a careful attacker cuts off
    margin = round(SIZE * rng.uniform(0.02, 0.06)) if rng.random() < 0.2 + 0.5 * (1 - stage.quality) else 0
    picture = np.pad(photo.rgb[rows, columns], ((margin, margin), (margin, margin), (0, 0)), constant_values=1.0)
    masks = {name: np.pad(mask[rows, columns], margin) for name, mask in photo.masks.items()}
    texture = printed(picture, stage)
    if cut:
        texture[..., 5] = 1 - np.max([masks[name] for name in cut], axis=0)
    # holes must meet the attacker's eyes, so a cut print is near life size and straight
    size = 1 + rng.normal(0, 0.02 + 0.05 * (1 - stage.quality)) if cut else rng.uniform(0.8, 1.08)
    face_mm = photo.face_mm * stage.choose("face_scale", size)
    pixel_mm = face_mm / (fraction * SIZE)
    height, width = picture.shape[:2]
    mesh = sheet(width * pixel_mm, height * pixel_mm, bend=bend, bend_axis_deg=bend_axis_deg)
    left, top = columns.start - margin, rows.start - margin
    u0, v0, u1, v1 = (SIZE * at for at in photo.box)
    box = ((u0 - left) / width, (v0 - top) / height, (u1 - left) / width, (v1 - top) / height)
    crease = stage.choose("crease_mm", (1 - stage.quality) * rng.uniform(0, 5))
    x, y = mesh.vertices[:, 0] / 60, mesh.vertices[:, 1] / 60
    wave = np.sin(x * rng.uniform(0.6, 1.6) + rng.uniform(0, 6)) * np.sin(y * rng.uniform(0.4, 1.2) + rng.uniform(0, 6))
    mesh.vertices[:, 2] += crease * wave + 85 + mould * _relief(mesh.uv, box, face_mm)
    mesh.vertices[:, 1] += -(1 - 2 * (box[1] + box[3]) / 2) * height * pixel_mm / 2 - 20
    lean = rng.normal(0, 1, 3) * np.array([5, 7, 3]) * (0.4 if cut else 1.0)
    mesh.vertices[:] = mesh.vertices @ rotation(float(lean[0]), float(lean[1]), float(lean[2])).T
    if cut:
        wear(mesh, stage, masks, cut)
    worn = bool(cut)
    return HeldSheet(stage, mesh, texture, box, face_mm, bool(cut), behind_mm=0.0 if worn else
                     rng.uniform(30, 220), hands=rng.random() < (0.4 if worn else 0.75),
                     worn=() if worn else presenter_spectacles(stage),
                     eyes=survey(presenter_head(stage)))  # fmt: skip


def wear(mesh: Mesh, stage: Stage, masks: Mapping[str, Floats], cut: tuple[str, ...]) -> None:
    """Lay a sheet with holes over the presenter's face, the eye holes before their eyes, within a careless error."""
    own = presenter_head(stage)
    face = survey(own)
    if face is None:
        return
    rng = stage.rng("wear")
    error = rng.normal(0, 1 + 2.5 * (1 - stage.quality), 2)
    mesh.vertices[:, :2] += face.eyes.mean(axis=0)[:2] - _between_eyes(mesh, masks["eyes"])[:2] + error
    gap = stage.choose("gap_mm", 2 + rng.uniform(0, 6) * (1 - stage.quality))
    free = np.max([_at(masks[name], mesh.uv) for name in cut], axis=0)
    mesh.vertices[:, 2] -= 60
    drape(mesh, own, gap_mm=gap, follow=0.35 + 0.6 * stage.quality, free=free)


def _between_eyes(mesh: Mesh, eyes: Floats) -> Floats:
    """Where on a sheet the middle between two shown eyes lies (3,): ``eyes`` (h, w) is their mask."""
    columns = np.nonzero(eyes.max(axis=0) > 0.5)[0]
    rows = np.nonzero(eyes.max(axis=1) > 0.5)[0]
    u = (columns[0] + columns[-1] + 1) / 2 / eyes.shape[1] if len(columns) else 0.5
    v = (rows[0] + rows[-1] + 1) / 2 / eyes.shape[0] if len(rows) else 0.4
    near = ((mesh.uv - [u, v]) ** 2).sum(axis=1)
    weight = np.exp(-0.5 * near / 0.03**2)
    return np.asarray((weight[:, None] * mesh.vertices).sum(axis=0) / weight.sum(), np.float32)


def _at(mask: Floats, uv: Floats) -> Floats:
    """A mask (h, w) at texture coordinates (N, 2)."""
    height, width = mask.shape
    row = np.clip((uv[:, 1] * height).astype(int), 0, height - 1)
    column = np.clip((uv[:, 0] * width).astype(int), 0, width - 1)
    return np.asarray(mask[row, column], np.float32)


def _relief(uv: Floats, box: tuple[float, float, float, float], face_mm: float) -> Floats:
    """What is left of a face under paper (mm): a nose, two hollows, a mouth, where the picture has them."""
    x = ((uv[:, 0] - box[0]) / (box[2] - box[0]) - 0.5) * 0.74 * face_mm
    y = ((uv[:, 1] - box[1]) / (box[3] - box[1])) * face_mm
    nose = 20 * np.exp(-0.5 * ((x / 13) ** 2 + ((y - 0.57 * face_mm) / 20) ** 2))
    eyes = -7 * np.exp(-0.5 * (((np.abs(x) - 32) / 15) ** 2 + ((y - 0.38 * face_mm) / 11) ** 2))
    mouth = 6 * np.exp(-0.5 * ((x / 26) ** 2 + ((y - 0.76 * face_mm) / 14) ** 2))
    return np.asarray(nose + eyes + mouth, np.float32)
