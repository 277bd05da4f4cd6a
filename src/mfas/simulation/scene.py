"""A scene is a list of parts; `render` is what three ideal cameras at one place see of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from mfas.simulation.geometry import Floats, Ints, Mesh, vertex_normals
from mfas.simulation.raster import Buffers, Camera, empty_buffers, rasterise
from mfas.simulation.shading import Light, shade, shadows

_OPAQUE = np.ones((1, 1), np.float32)


@dataclass(frozen=True, slots=True)
class Part:
    """One surface: ``mesh`` in camera mm, ``texture`` (h, w, 6) as `mfas.simulation.shading.CHANNELS` says.

    ``glass`` above 0 is the share of light it lets through: a clear pane that adds its reflections to what is seen
    behind it, where cameras still measure the distance of what is behind, ``bump_mm`` nearer (light is bent).
    """

    name: str
    mesh: Mesh
    texture: Floats
    holes: bool = False
    emissive: bool = False
    two_sided: bool = False
    exponent: float = 12.0
    wrap: float = 0.0
    glass: float = 0.0
    bump_mm: float = 0.0


@dataclass(frozen=True, slots=True)
class View:
    """What reaches the sensors, all (S, S) and registered.

    ``rgb`` (S, S, 3) linear; ``active`` and ``passive`` infrared radiance; ``z`` mm (0 = nothing); ``facing`` cosine
    between normal and line of sight; ``nir_albedo``; ``gloss``; ``part`` index into the scene (-1 = nothing).
    """

    rgb: Floats
    active: Floats
    passive: Floats
    z: Floats
    facing: Floats
    gloss: Floats
    part: Ints
    uv: Floats


def render(parts: Sequence[Part], camera: Camera, light: Light, *, supersample: int = 2) -> View:
    """Rasterise and light ``parts``; colours average ``supersample`` squared samples, geometry takes one."""
    fine = camera.scaled(supersample)
    buffers = _draw(parts, fine)
    screen = _screen_space(buffers, fine, light)
    shape = buffers.z.shape
    rgb, active, passive = np.zeros((*shape, 3), np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    radiance = (rgb, active, passive)
    for index, part in enumerate(parts):
        if not part.glass:
            _shade(index, part, buffers, screen, fine, light, radiance)
    panes = [
        _pane(index, part, buffers, screen, fine, light, radiance, supersample)
        for index, part in enumerate(parts) if part.glass
    ]  # fmt: skip
    view = _view(parts, buffers, rgb, active, passive, camera, supersample)
    for pane in panes:
        _look_through(view, pane, supersample)
    return view


@dataclass(frozen=True, slots=True)
class _Pane:
    """A clear part as the window ``rows``, ``columns`` of the picture sees it through ``camera``."""

    index: int
    part: Part
    rows: slice
    columns: slice
    camera: Camera
    buffers: Buffers


def _shade(
    index: int, part: Part, buffers: Buffers, screen: tuple[Floats, Floats], camera: Camera, light: Light,
    radiance: tuple[Floats, Floats, Floats],
) -> None:  # fmt: skip
    shade(
        index, part.texture, part.emissive, part.exponent, part.wrap,
        buffers.z, buffers.normal, buffers.uv, buffers.part, *screen,
        camera.focal, camera.cx, camera.cy, light.ambient, light.ground, light.key, light.key_direction,
        light.reference_mm, buffers.window[index], *radiance,
    )  # fmt: skip


def _pane(
    index: int, part: Part, buffers: Buffers, screen: tuple[Floats, Floats], camera: Camera, light: Light,
    radiance: tuple[Floats, Floats, Floats], factor: int,
) -> _Pane:  # fmt: skip
    """Dim what lies behind a clear pane and add what the pane reflects, in the window where it is."""
    points = camera.project(part.mesh.vertices)
    first = np.clip(np.floor(points.min(axis=0)).astype(int) // factor * factor, 0, camera.size)
    end = np.clip(np.ceil(points.max(axis=0)).astype(int) + 1, first, camera.size)
    rows, columns = slice(int(first[1]), int(end[1])), slice(int(first[0]), int(end[0]))
    shape = rows.stop - rows.start, columns.stop - columns.start
    moved = replace(camera, cx=camera.cx - columns.start, cy=camera.cy - rows.start)
    own = empty_buffers(*shape)
    own.z[:] = buffers.z[rows, columns]
    _rasterise(index, part, moved, own)
    around = tuple(np.ascontiguousarray(field[rows, columns]) for field in screen)
    glints = np.zeros((*shape, 3), np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    _shade(index, part, own, (around[0], around[1]), moved, light, glints)
    covered = own.part == index
    for seen, glint in zip(radiance, glints, strict=True):
        patch = seen[rows, columns]
        patch[covered] *= part.glass
        patch += glint
    return _Pane(index, part, rows, columns, moved, own)


def _look_through(view: View, pane: _Pane, factor: int) -> None:
    """A pane's shine and small bump where depth sensors look through it."""
    camera = pane.camera.scaled(1 / factor)
    covered = pane.buffers.part[::factor, ::factor] == pane.index
    rows, columns = (slice(s.start // factor, s.start // factor + n)
                     for s, n in zip((pane.rows, pane.columns), covered.shape, strict=True))  # fmt: skip
    facing = _facing(pane.buffers.normal[::factor, ::factor], camera)
    gloss = float(pane.part.texture[..., 4].mean())
    view.facing[rows, columns][covered] = facing[covered]
    view.gloss[rows, columns][covered] = np.maximum(view.gloss[rows, columns][covered], gloss)
    view.z[rows, columns][covered] -= pane.part.bump_mm


def _draw(parts: Sequence[Part], camera: Camera) -> Buffers:
    buffers = empty_buffers(camera.size, camera.size)
    for index, part in enumerate(parts):
        if not part.glass:
            _rasterise(index, part, camera, buffers)
    return buffers


def _rasterise(index: int, part: Part, camera: Camera, buffers: Buffers) -> None:
    mesh = part.mesh
    alpha = np.ascontiguousarray(part.texture[:, :, 5]) if part.holes else _OPAQUE
    buffers.window[index] = rasterise(
        mesh.vertices, vertex_normals(mesh.vertices, mesh.faces), mesh.uv, mesh.faces, alpha, index,
        part.two_sided, camera.focal, camera.cx, camera.cy, buffers.z, buffers.normal, buffers.uv, buffers.part,
    )  # fmt: skip


def _screen_space(buffers: Buffers, camera: Camera, light: Light) -> tuple[Floats, Floats]:
    """Ambient occlusion (how far a pixel lies behind its neighbourhood) and key-light visibility, both full size."""
    size = camera.size
    half = np.ascontiguousarray(buffers.z[::2, ::2])
    nearest = np.where(np.isfinite(half), half, 1e5).astype(np.float32)
    radius = max(3, size // 28) | 1
    front = cv2.erode(nearest, np.ones((radius, radius), np.uint8))
    behind = nearest - cv2.blur(np.minimum(nearest, front + 40), (radius, radius))
    behind[nearest - cv2.erode(front, np.ones((radius, radius), np.uint8)) > 60] = (
        0  # a far wall is not darkened by what stands before it
    )
    occlusion = np.clip(1.0 - np.clip(behind, 0, 14) / 26.0, 0.4, 1.0).astype(np.float32)
    visible = shadows(nearest, camera.focal / 2, camera.cx / 2, camera.cy / 2, light.key_direction, 90.0, 10)
    visible = 1 - light.shadow * (1 - cv2.GaussianBlur(visible, (0, 0), 0.6 + 2.0 * light.softness))
    return (
        cv2.resize(occlusion, (size, size), interpolation=cv2.INTER_LINEAR),
        cv2.resize(visible.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR),
    )


def _view(
    parts: Sequence[Part], buffers: Buffers, rgb: Floats, active: Floats, passive: Floats, camera: Camera, factor: int
) -> View:
    size = (camera.size, camera.size)
    if factor > 1:
        rgb, active, passive = (cv2.resize(a, size, interpolation=cv2.INTER_AREA) for a in (rgb, active, passive))
    z, part = buffers.z[::factor, ::factor], buffers.part[::factor, ::factor]
    uv, normal = buffers.uv[::factor, ::factor], buffers.normal[::factor, ::factor]
    gloss = np.zeros(size, np.float32)
    for index, surface in enumerate(parts):
        mean = float(surface.texture[::8, ::8, 4].mean())
        gloss[part == index] = mean
    return View(
        rgb=rgb,
        active=active,
        passive=passive,
        z=np.where(np.isfinite(z), z, 0).astype(np.float32),
        facing=_facing(normal, camera),
        gloss=gloss,
        part=np.ascontiguousarray(part),
        uv=np.ascontiguousarray(uv),
    )


def _facing(normal: Floats, camera: Camera) -> Floats:
    """Cosine between normals (S, S, 3) and the line of sight, (S, S) in [0, 1]."""
    rows, columns = np.mgrid[: normal.shape[0], : normal.shape[1]].astype(np.float32)
    x, y = (columns + 0.5 - camera.cx) / camera.focal, (rows + 0.5 - camera.cy) / camera.focal
    nx, ny, nz = normal[..., 0], normal[..., 1], normal[..., 2]
    along = -(nx * x + ny * y + nz)
    length = np.sqrt((nx * nx + ny * ny + nz * nz) * (x * x + y * y + 1)) + 1e-9
    return np.asarray(np.clip(along / length, 0, 1), np.float32)
