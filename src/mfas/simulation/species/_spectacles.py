"""Ordinary spectacles: part of a person, so that a frame before the eyes tells nothing about an attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mfas.simulation.geometry import Floats, Mesh, grid_faces
from mfas.simulation.heads import Head
from mfas.simulation.heads.base import generator
from mfas.simulation.scene import Part
from mfas.simulation.stage import Moment, plain

SHARE = 0.25
"""Share of people who wear spectacles."""


@dataclass(frozen=True, slots=True)
class Face:
    """Where things sit on a face, mm in head coordinates: ``eyes`` (2, 3) left and right, ``front`` (N, 3) vertices.

    ``irises`` (2, 3) are the surface points between the lids.
    """

    eyes: Floats
    front: Floats
    ear_x: float
    irises: Floats

    def height(self, xy: Floats) -> Floats:
        """Distance z of the face's surface at points (M, 2): the foremost vertex within 7 mm; -1e3 beside the face."""
        near = ((self.front[None, :, :2] - xy[:, None]) ** 2).sum(axis=2) < 49
        return np.asarray(np.where(near, self.front[None, :, 2], -1e3).max(axis=1), np.float32)


def survey(head: Head) -> Face | None:
    """Find eyes and temples of a neutral head; None where its source cannot tell where the eyes are."""
    found = (head.irises, head.irises) if head.irises is not None else _painted_eyes(head)
    if found is None:
        return None
    eyes, irises = found
    vertices, level = head.mesh.vertices, float(eyes[:, 1].mean())
    temple = vertices[(np.abs(vertices[:, 1] - level) < 12) & (vertices[:, 2] > 15) & (vertices[:, 2] < 55)]
    ear_x = float(np.abs(temple[:, 0]).max()) if len(temple) else 74.0
    front = vertices[(vertices[:, 2] > eyes[:, 2].mean() - 15) & (np.abs(vertices[:, 1] - level) < 40)]
    return Face(eyes, front, ear_x, irises)


def _painted_eyes(head: Head) -> tuple[Floats, Floats] | None:
    """Middles of both eyes and the surface there (2, 3), where eyes are painted on a head's surface."""
    if "eyes" not in head.regions:
        return None
    vertices, region = head.mesh.vertices, head.regions["eyes"]
    rows = np.clip((head.mesh.uv[:, 1] * region.shape[0]).astype(int), 0, region.shape[0] - 1)
    columns = np.clip((head.mesh.uv[:, 0] * region.shape[1]).astype(int), 0, region.shape[1] - 1)
    inside = (region[rows, columns] > 0.5) & (vertices[:, 2] > 20)
    sides = [inside & (vertices[:, 0] < 0), inside & (vertices[:, 0] > 0)]
    if not all(side.any() for side in sides):
        return None
    eyes = np.stack([vertices[side].mean(axis=0) for side in sides]).astype(np.float32)
    middles = [((vertices[side, :2] - eye[:2] + [0, 0.5]) ** 2).sum(axis=1).argmin() for side, eye in
               zip(sides, eyes, strict=True)]  # fmt: skip
    surface = [vertices[side, 2][m] for side, m in zip(sides, middles, strict=True)]
    return eyes, np.column_stack([eyes[:, 0], eyes[:, 1] - 0.5, surface]).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Frame:
    """Measures of a frame, mm: half ``width`` and ``height`` of a lens, ``rim`` thickness, ``power`` of its outline.

    2 is an oval, above 3 a rectangle with round corners. ``reach`` is from the eye to the lens.
    """

    width: float
    height: float
    rim: float
    power: float
    reach: float = 13.0

    def outline(self, angle: Floats, scale: float = 1.0) -> Floats:
        """The lens's edge (N, 2) about its centre."""
        cosine, sine = np.cos(angle), np.sin(angle)
        radius = (np.abs(cosine) ** self.power + np.abs(sine) ** self.power) ** (-1 / self.power)
        return np.stack([self.width * radius * cosine, self.height * radius * sine], -1) * scale


def spectacles(head: Head, subject: str) -> tuple[Part, ...]:
    """The spectacles of ``subject`` in head coordinates; nothing for people who wear none. Same in every capture."""
    rng = generator("spectacles", subject)
    if rng.random() >= SHARE:
        return ()
    face = survey(head)
    if face is None:
        return ()
    metal = rng.random() < 0.45
    shape = Frame(rng.uniform(22, 27), rng.uniform(14.5, 21), rng.uniform(0.7, 1.3) if metal else rng.uniform(1.3, 2.6),
                  rng.uniform(2.1, 4.5))  # fmt: skip
    colours = _METALS if metal else _PLASTICS
    rgb, nir = colours[int(rng.integers(len(colours)))]
    # dyed plastic is often clear or bright in infrared, whatever its colour to the eye; pigmented black is not
    texture = plain(rgb, nir * rng.uniform(0.8, 1.2), 0.5 if metal else 0.25)
    coated = rng.random() < 0.6
    lens = plain((0.0, 0.0, 0.0), 0.0, rng.uniform(0.02, 0.05) if coated else rng.uniform(0.08, 0.16))
    lens[..., 4] *= 6
    frame = Part("spectacles", frame_mesh(face, shape), texture, two_sided=True, exponent=40.0)
    # the emitter's mirror image in a convex lens is a point a few mm wide
    glass = Part("lenses", lens_mesh(face, shape, bow_mm=rng.uniform(70, 140)), lens, two_sided=True, exponent=420.0,
                 glass=rng.uniform(0.88, 0.95), bump_mm=rng.normal(0, 1.5))  # fmt: skip
    return frame, glass


_METALS = (((0.35, 0.34, 0.33), 0.45), ((0.42, 0.33, 0.17), 0.5), ((0.05, 0.05, 0.05), 0.12), ((0.2, 0.2, 0.22), 0.3))
_PLASTICS = (((0.012, 0.012, 0.013), 0.05), ((0.012, 0.012, 0.013), 0.4), ((0.11, 0.05, 0.02), 0.45),
             ((0.03, 0.05, 0.12), 0.4), ((0.25, 0.03, 0.03), 0.5), ((0.5, 0.47, 0.42), 0.55))  # fmt: skip


def put(parts: Sequence[Part], moment: Moment) -> list[Part]:
    """Parts of head coordinates where the head is at ``moment``."""
    return [replace(part, mesh=moment.put(part.mesh)) for part in parts]


def lens_centres(face: Face, shape: Frame) -> Floats:
    """Middles of both lenses (2, 3): before the eyes, clear of brow and nose."""
    centres = face.eyes.copy()
    centres[:, 1] = face.eyes[:, 1].mean() - 1.5
    least = shape.width + shape.rim + 7.5
    centres[:, 0] = np.sign(centres[:, 0]) * np.maximum(np.abs(centres[:, 0]), least)
    edge = shape.outline(np.linspace(0, 2 * np.pi, 24, endpoint=False).astype(np.float32))
    brow = max(float(face.height(edge + c[:2]).max()) for c in centres) + 1.5
    back = float(face.eyes[:, 2].mean())
    centres[:, 2] = np.clip(brow, back + shape.reach, back + shape.reach + 7)
    return centres


def frame_mesh(face: Face, shape: Frame) -> Mesh:
    """Two rims, the bridge and the temples."""
    centres = lens_centres(face, shape)
    angle = np.linspace(0, 2 * np.pi, 33).astype(np.float32)
    depth = np.array([0, 0, 1], np.float32)
    pieces = []
    for centre in centres:
        edge = shape.outline(angle)
        outward = np.pad(edge / np.linalg.norm(edge, axis=1, keepdims=True), ((0, 0), (0, 1)))
        pieces.append(tube(_wrapped(edge + centre[:2], centre), outward, depth, shape.rim, 1.6))
    inner = np.abs(centres[:, 0]).mean() - shape.width
    steps = np.linspace(-1, 1, 9).astype(np.float32)
    arch = np.stack([steps * inner, centres[0, 1] + 5 - 2.5 * steps**2, centres[0, 2] + 1.5 - steps**2], -1)
    pieces.append(tube(arch, np.array([[0, 1, 0]], np.float32), depth, shape.rim, 1.4))
    for centre in centres:
        side = float(np.sign(centre[0]))
        hinge = [centre[0] + side * (shape.width + shape.rim), centre[1] + 5]
        start = _wrapped(np.array([hinge], np.float32), centre)[0]
        ear = np.array([side * (face.ear_x + 2.5), centre[1] + 4, -8], np.float32)
        bend = np.array([side * max(side * start[0] + 1, 0.88 * face.ear_x), start[1], start[2] - 5], np.float32)
        path = np.stack([start, bend, (2 * bend + ear) / 3, ear])
        across = np.array([[1, 0, 0]], np.float32)
        pieces.append(tube(path, np.array([[0, 1, 0]], np.float32), across, max(1.0, 0.9 * shape.rim), 0.8))
    return merge(pieces)


def lens_mesh(face: Face, shape: Frame, *, bow_mm: float = 1e4) -> Mesh:
    """Both lenses as convex discs, ``bow_mm`` the radius of their front; u runs across both, v down."""
    rings = np.linspace(0.02, 1, 6)
    angle = np.linspace(0, 2 * np.pi, 29).astype(np.float32)
    pieces = []
    for centre in lens_centres(face, shape):
        grid = np.concatenate([shape.outline(angle, float(r)) for r in rings])
        points = _wrapped(grid + centre[:2], centre)
        points[:, 2] += (shape.width**2 - (grid**2).sum(axis=1)) / (2 * bow_mm)
        half = (grid / (2 * np.array([shape.width, shape.height])) + 0.5) * np.array([0.5, -1]) + np.array([0, 1])
        uv = half + np.array([0.5 * (centre[0] > 0), 0])
        pieces.append(Mesh(points, grid_faces(len(rings), len(angle)), uv.astype(np.float32)))
    return merge(pieces)


def _wrapped(xy: Floats, centre: Floats) -> Floats:
    """Points (N, 2) on the frame's face curve: it falls back to the sides, and its lower edge leans in."""
    back = (xy[:, 0] ** 2 - centre[0] ** 2) / 380
    lean = (xy[:, 1] - centre[1]) * 0.1
    return np.column_stack([xy, centre[2] - back + lean]).astype(np.float32)


def tube(path: Floats, across: Floats, up: Floats, half_across: float, half_up: float) -> Mesh:
    """A bar of elliptic section along ``path`` (N, 3); ``across`` and ``up`` (N or 1, 3) span the section."""
    turn = np.linspace(0, 2 * np.pi, 7)
    section = half_across * np.cos(turn)[:, None] * np.atleast_2d(across)[:, None]
    section = section + half_up * np.sin(turn)[:, None] * np.atleast_2d(up)[:, None]
    points = (path[:, None] + section).reshape(-1, 3).astype(np.float32)
    u, v = np.meshgrid(np.linspace(0, 1, 7), np.linspace(0, 1, len(path)))
    return Mesh(points, grid_faces(len(path), 7), np.stack([u, v], -1).reshape(-1, 2).astype(np.float32))


def merge(pieces: Sequence[Mesh]) -> Mesh:
    """One mesh of several."""
    start = np.cumsum([0, *(len(m.vertices) for m in pieces[:-1])]).astype(np.int32)
    return Mesh(
        np.concatenate([m.vertices for m in pieces]),
        np.concatenate([m.faces + s for m, s in zip(pieces, start, strict=True)]).astype(np.int32),
        np.concatenate([m.uv for m in pieces]),
    )
