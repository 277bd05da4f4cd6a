"""Who and what stands before the sensors: the vocabulary between a presentation and the species."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from mfas.simulation.geometry import Floats, Mesh, ellipsoid, place
from mfas.simulation.heads import FaceState, Head, HeadSource
from mfas.simulation.heads.base import generator
from mfas.simulation.scene import Part
from mfas.simulation.site import Site


@dataclass(frozen=True, slots=True)
class Stage:
    """What a presentation is made of. ``seed`` names it; every draw of a species comes from `Stage.rng`.

    ``chosen`` holds parameters that somebody has set instead; see `mfas.simulation.choices`.
    """

    site: Site
    source: HeadSource
    subject: str
    presenter: str
    tone: int
    presenter_tone: int
    quality: float
    seed: tuple[object, ...]
    chosen: Mapping[str, float] = field(default_factory=dict)

    def rng(self, purpose: str) -> np.random.Generator:
        """A generator that belongs to this presentation and ``purpose`` alone."""
        return generator(*self.seed, purpose)

    def choose(self, name: str, drawn: float) -> float:
        """The parameter ``name``: what was chosen, else what was ``drawn``."""
        # of the same type, since a NumPy scalar and a Python float do not promote arrays alike
        return type(drawn)(self.chosen[name]) if name in self.chosen else drawn


@dataclass(frozen=True, slots=True)
class Moment:
    """One instant: ``turn`` (3, 3) and ``offset`` (camera mm) of head or artefact, and the presenter's face."""

    turn: Floats
    offset: tuple[float, float, float]
    face: FaceState

    def put(self, mesh: Mesh, weight: Floats | None = None) -> Mesh:
        """A mesh of head coordinates in camera coordinates; ``weight`` (V,) blends the turning (a neck)."""
        turned = mesh.vertices @ self.turn.T
        if weight is not None:
            turned = mesh.vertices + weight[:, None] * (turned - mesh.vertices)
        return Mesh(place(turned.astype(np.float32), self.offset), mesh.faces, mesh.uv)


class Prop(Protocol):
    """A person or artefact made ready for one presentation."""

    @property
    def face_mm(self) -> float:
        """Height of the face it shows, mm: cameras and attackers frame by it."""
        ...

    def parts(self, moment: Moment) -> Sequence[Part]:
        """Its surfaces at ``moment``, camera coordinates."""
        ...

    def face_points(self, moment: Moment) -> Floats:
        """Points (N, 3) whose projection spans the shown face, camera coordinates."""
        ...


class Species(Protocol):
    """One kind of presentation: how it is made from a `Stage`."""

    name: str

    def prepare(self, stage: Stage) -> Prop:
        """Make the artefact (or the live person) of one presentation."""
        ...


def head_part(head: Head, moment: Moment, name: str = "head") -> Part:
    """A live head as a surface."""
    return Part(name, moment.put(head.mesh, head.neck), head.texture, exponent=14.0, wrap=0.28)


def torso(stage: Stage, moment: Moment, who: str) -> Part:
    """Shoulders in clothes; they follow the head's place, not its turning."""
    rng = generator("clothes", *stage.seed, who)
    mesh = ellipsoid((rng.uniform(190, 235), rng.uniform(125, 150), rng.uniform(85, 110)), power=0.75)
    x, y, z = moment.offset
    down = rng.uniform(265, 295)
    moved = Mesh(place(mesh.vertices, (x, y + down, z + 35)), mesh.faces, mesh.uv)
    return Part("torso", moved, _cloth(rng), exponent=6.0)


def _cloth(rng: np.random.Generator) -> Floats:
    colour = np.clip(rng.uniform(0.02, 0.5) * rng.uniform(0.6, 1.4, 3), 0.01, 0.8)
    texture = np.ones((48, 48, 6), np.float32)
    weave = 1 + rng.uniform(0.02, 0.12) * rng.standard_normal((48, 48, 1))
    stripes = 1 + (rng.random() < 0.3) * 0.4 * np.sign(np.sin(np.arange(48) * rng.uniform(0.5, 1.4)))[None, :, None]
    texture[..., :3] = np.clip(colour * weave * stripes, 0, 0.9)
    texture[..., 3] = rng.uniform(0.1, 0.75) * weave[..., 0]
    texture[..., 4] = 0.02
    return texture


def plain(rgb: Sequence[float], nir: float, gloss: float) -> Floats:
    """A texture of one colour."""
    texture = np.ones((8, 8, 6), np.float32)
    texture[..., :3], texture[..., 3], texture[..., 4] = rgb, nir, gloss
    return texture


def box_corners(face_box: tuple[float, float, float, float], moment: Moment) -> Floats:
    """Corners of a face box, turned with it, camera coordinates (4, 3)."""
    left, top, right, bottom = face_box
    corners = np.array([[left, top, 40], [right, top, 40], [left, bottom, 60], [right, bottom, 60]], np.float32)
    return place((corners @ moment.turn.T).astype(np.float32), moment.offset)
