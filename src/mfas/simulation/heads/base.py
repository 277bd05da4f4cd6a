"""What a source of heads must offer, and what a face can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Protocol

import numpy as np

from mfas.simulation.geometry import Floats, Mesh

EXPRESSIONS = 8
"""Jaw open, smile, pucker, brows up, frown, cheeks puffed, lips pressed, nose wrinkled; weights in [0, 1]."""


@dataclass(frozen=True, slots=True)
class FaceState:
    """The moving part of a face: ``expression`` (8,), eyelids ``lids`` in [0, 1], ``gaze`` (right, up) in [-1, 1]."""

    expression: Floats = field(default_factory=lambda: np.zeros(EXPRESSIONS, np.float32))
    lids: float = 1.0
    gaze: tuple[float, float] = (0.0, 0.0)


NEUTRAL = FaceState()


@dataclass(frozen=True, slots=True)
class Head:
    """A head in head coordinates (mm) with its texture (h, w, 6); see `mfas.simulation.shading.CHANNELS`.

    ``regions`` are masks (h, w) in [0, 1] over the texture: ``eyes``, ``mouth``, ``nose``, ``face``, and ``skin`` where
    not all of the face is painted as skin. A source that cannot tell leaves them out, and then serves live subjects
    only. ``face_box`` = (left, top, right, bottom) of the face, mm in head coordinates. ``neck`` (V,) is 1 where a
    vertex turns with the head, 0 where it stays. ``irises`` (2, 3) are where the eyes that look straight ahead have
    their middle, left of the image first; None: in the middle of the region ``eyes``.
    """

    mesh: Mesh
    texture: Floats
    regions: Mapping[str, Floats]
    face_box: tuple[float, float, float, float]
    neck: Floats
    irises: Floats | None = None


class HeadSource(Protocol):
    """Where people come from. The same ``subject`` is the same person in every capture."""

    name: str
    serves_attacks: bool
    """Whether it knows the `Head.regions` that artefacts are made from."""
    varied: bool
    """Whether people differ so much in relief that a mask of one must be widened to go over another."""

    def head(self, subject: str, state: FaceState = NEUTRAL, *, tone: int | None = None) -> Head:
        """The head of ``subject`` in ``state``; ``tone`` 0 to 5 (Fitzpatrick I to VI) where it can be chosen."""
        ...

    def cast(self, subject: str, state: FaceState = NEUTRAL, *, tone: int | None = None) -> Head:
        """The same face as a maker of masks takes it: one sheet on the vertex grid of `heads.template`.

        Needed of sources with ``serves_attacks`` only.
        """
        ...


def seed_of(*names: object) -> int:
    """A 64-bit seed from names: the same on every machine."""
    text = "\x1f".join(str(name) for name in names)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def generator(*names: object) -> np.random.Generator:
    """A random generator that depends on ``names`` only."""
    return np.random.default_rng(seed_of(*names))
