"""A relief of the victim worn over the presenter's head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from mfas.simulation.geometry import Floats, Ints, Mesh
from mfas.simulation.heads import NEUTRAL, Head
from mfas.simulation.heads.template import COLUMNS, ROWS
from mfas.simulation.scene import Part
from mfas.simulation.species._corneas import corneas
from mfas.simulation.species._drape import relief
from mfas.simulation.species._paper import presenter_head
from mfas.simulation.species._spectacles import Face, put, survey
from mfas.simulation.stage import Moment, Stage, box_corners, head_part, torso


@dataclass(frozen=True, slots=True)
class WornProp:
    """A mask of ``victim``, a cast: ``mesh`` in head coordinates with ``texture``, over the presenter's head.

    ``mobility`` is the share of the presenter's expression it follows, ``inner`` how far their head is drawn in under
    it, ``seen`` (F, 3) the faces of their head that a closed mask leaves visible (None: all of them).
    ``eyes`` tells where their corneas shine.
    """

    stage: Stage
    victim: Head
    mesh: Mesh
    texture: Floats
    face_mm: float
    exponent: float
    wrap: float
    mobility: float
    inner: float = 1.0
    seen: Ints | None = None
    eyes: Face | None = None

    def parts(self, moment: Moment) -> Sequence[Part]:
        """Mask, presenter's head, shoulders."""
        own = self.stage.source.head(self.stage.presenter, moment.face, tone=self.stage.presenter_tone)
        mesh = self.mesh
        if self.mobility > 0:
            cast, who, tone = self.stage.source.cast, self.stage.presenter, self.stage.presenter_tone
            still, moving = cast(who, NEUTRAL, tone=tone), cast(who, moment.face, tone=tone)
            moved = mesh.vertices + self.mobility * (moving.mesh.vertices - still.mesh.vertices)
            mesh = Mesh(moved.astype(np.float32), mesh.faces, mesh.uv)
        placed = moment.put(mesh, self.victim.neck)
        mask = Part("mask", placed, self.texture, holes=True, exponent=self.exponent, wrap=self.wrap, two_sided=True)
        if self.seen is not None:
            own = replace(own, mesh=Mesh(own.mesh.vertices, self.seen, own.mesh.uv))
        return [
            mask,
            _shrunk(head_part(own, moment, "presenter"), self.inner, moment),
            torso(self.stage, moment, self.stage.presenter),
            *(_shrunk(part, self.inner, moment) for part in put(corneas(self.eyes, moment.face), moment)),
        ]

    def face_points(self, moment: Moment) -> Floats:
        """Corners of the victim's face."""
        return box_corners(self.victim.face_box, moment)


_EYE_ROW = 0.484


def _shrunk(part: Part, factor: float, moment: Moment) -> Part:
    """The presenter's head drawn in, so that the material covers it all around."""
    if factor == 1.0:
        return part
    middle = np.array([moment.offset[0], 0, moment.offset[2] - 30], np.float32)
    scale = np.array([factor, 1, factor], np.float32)
    vertices = (part.mesh.vertices - middle) * scale + middle
    return replace(part, mesh=Mesh(vertices.astype(np.float32), part.mesh.faces, part.mesh.uv))


def victim_head(stage: Stage) -> Head:
    """The victim's neutral head."""
    return stage.source.head(stage.subject, NEUTRAL, tone=stage.tone)


def victim_cast(stage: Stage) -> Head:
    """The victim's neutral face as one sheet on the template's vertex grid."""
    return stage.source.cast(stage.subject, NEUTRAL, tone=stage.tone)


def over(stage: Stage, victim: Head, *, enlarge: float, gap_mm: float) -> Mesh:
    """The surface of a victim's cast, ``enlarge`` times, kept at least ``gap_mm`` outside the presenter's head."""
    own = stage.source.cast(stage.presenter, NEUTRAL, tone=stage.presenter_tone).mesh.vertices
    outer = victim.mesh.vertices * enlarge
    eyes = (np.abs(victim.mesh.uv[:, 1] - _EYE_ROW) < 0.03) & (np.abs(victim.mesh.uv[:, 0] - 0.5) < 0.2)
    outer = outer + (own[eyes] - outer[eyes]).mean(axis=0) * np.array([1, 1, 0], np.float32)
    axis = np.array([0, 1, 0], np.float32)
    centre = outer * axis
    radius = np.linalg.norm(outer - centre, axis=1, keepdims=True)
    least = np.linalg.norm(own - own * axis, axis=1, keepdims=True) + gap_mm
    push = np.clip(least - radius, 0, 40 if stage.source.varied else 12) * _mostly_front(victim)
    vertices = outer + (outer - centre) / np.maximum(radius, 1e-3) * push
    return Mesh(vertices.astype(np.float32), victim.mesh.faces, victim.mesh.uv)


def widened(stage: Stage, mesh: Mesh, inner: float) -> Mesh:
    """A cast pushed out to where it clears the presenter's head, drawn in by ``inner``; as it is if heads are alike."""
    if not stage.source.varied:
        return mesh
    ahead, level = np.array([0, 0, 30], np.float32), np.array([1, 0, 1], np.float32)
    cast = stage.source.cast(stage.presenter, NEUTRAL, tone=stage.presenter_tone).mesh.vertices
    least = np.linalg.norm((cast - ahead) * level * inner + ahead, axis=1, keepdims=True) + 2.0
    radius = np.linalg.norm(mesh.vertices * level, axis=1, keepdims=True)
    out = mesh.vertices * level / np.maximum(radius, 1e-3) * np.clip(least - radius, 0, 40)
    vertices = (mesh.vertices + out).astype(np.float32)
    # noses and chins of two people lie at different heights, so it must clear what lies behind it, too
    own = presenter_head(stage)
    drawn = (own.mesh.vertices - ahead) * np.array([inner, 1, inner], np.float32) + ahead
    behind = relief(replace(own, mesh=Mesh(drawn, own.mesh.faces, own.mesh.uv)), vertices[:, :2])
    lift = np.clip(behind + 2.0 - vertices[:, 2], 0, 40) * (vertices[:, 2] > 20)
    grid = lift.reshape(ROWS, COLUMNS).astype(np.float32)
    smooth = cv2.GaussianBlur(cv2.dilate(grid, np.ones((3, 3), np.uint8)), (0, 0), 1.2)
    vertices[:, 2] += np.maximum(grid, smooth).ravel()
    return Mesh(vertices, mesh.faces, mesh.uv)


def _mostly_front(head: Head) -> Floats:
    return np.asarray(np.clip(head.mesh.vertices[:, 2:3] / 30 + 1, 0, 1), np.float32)


def holes(victim: Head, names: tuple[str, ...], shrink: float = 0.5) -> Floats:
    """Alpha (h, w): 0 where the regions ``names`` are cut out; ``shrink`` is the region level at the rim."""
    alpha = np.ones(victim.texture.shape[:2], np.float32)
    for name in names:
        alpha[victim.regions[name] > shrink] = 0
    return alpha


def trimmed(mesh: Mesh, rim_mm: float) -> Mesh:
    """What is left of a mask that ends at the height ``rim_mm`` of the neck."""
    height = mesh.vertices[mesh.faces, 1].mean(axis=1)
    return Mesh(mesh.vertices, np.ascontiguousarray(mesh.faces[height > rim_mm]), mesh.uv)


def seen_through(stage: Stage, rim_mm: float) -> Ints:
    """Faces of the presenter's head that show in a closed mask: about the eyes, and the neck below its rim."""
    own = presenter_head(stage)
    middle = own.mesh.vertices[own.mesh.faces].mean(axis=1)
    shown = middle[:, 1] < rim_mm + 12
    face = survey(own)
    if face is not None:
        for eye in face.eyes:
            near = ((middle[:, 0] - eye[0]) / 30) ** 2 + ((middle[:, 1] - eye[1]) / 20) ** 2 < 1
            shown |= near & (middle[:, 2] > 20)
    return np.ascontiguousarray(own.mesh.faces[shown])
