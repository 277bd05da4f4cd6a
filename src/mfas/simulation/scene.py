"""A scene is a list of parts; `render` is what three ideal cameras at one place see of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mfas.simulation.geometry import Floats, Ints, Mesh, vertex_normals
from mfas.simulation.raster import Buffers, Camera, empty_buffers, rasterise
from mfas.simulation.shading import Light, shade, shadows

_OPAQUE = np.ones((1, 1), np.float32)


@dataclass(frozen=True, slots=True)
class Part:
    """One surface: ``mesh`` in camera mm, ``texture`` (h, w, 6) as `mfas.simulation.shading.CHANNELS` says."""

    name: str
    mesh: Mesh
    texture: Floats
    holes: bool = False
    emissive: bool = False
    two_sided: bool = False
    exponent: float = 12.0
    wrap: float = 0.0


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
    occlusion, visible = _screen_space(buffers, fine, light)
    shape = buffers.z.shape
    rgb, active, passive = np.zeros((*shape, 3), np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for index, part in enumerate(parts):
        shade(
            index, part.texture, part.emissive, part.exponent, part.wrap,
            buffers.z, buffers.normal, buffers.uv, buffers.part, occlusion, visible,
            fine.focal, fine.cx, fine.cy, light.ambient, light.ground, light.key, light.key_direction,
            light.reference_mm, rgb, active, passive,
        )  # fmt: skip
    return _view(parts, buffers, rgb, active, passive, camera, supersample)


def _draw(parts: Sequence[Part], camera: Camera) -> Buffers:
    buffers = empty_buffers(camera.size)
    for index, part in enumerate(parts):
        mesh = part.mesh
        alpha = np.ascontiguousarray(part.texture[:, :, 5]) if part.holes else _OPAQUE
        rasterise(
            mesh.vertices, vertex_normals(mesh.vertices, mesh.faces), mesh.uv, mesh.faces, alpha, index,
            part.two_sided, camera.focal, camera.cx, camera.cy, buffers.z, buffers.normal, buffers.uv, buffers.part,
        )  # fmt: skip
    return buffers


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
    rows, columns = np.mgrid[: camera.size, : camera.size].astype(np.float32)
    x, y = (columns + 0.5 - camera.cx) / camera.focal, (rows + 0.5 - camera.cy) / camera.focal
    along = -(normal[..., 0] * x + normal[..., 1] * y + normal[..., 2])
    length = np.linalg.norm(normal, axis=-1) * np.sqrt(x * x + y * y + 1) + 1e-9
    gloss = np.zeros(size, np.float32)
    for index, surface in enumerate(parts):
        mean = float(surface.texture[::8, ::8, 4].mean())
        gloss[part == index] = mean
    return View(
        rgb=rgb,
        active=active,
        passive=passive,
        z=np.where(np.isfinite(z), z, 0).astype(np.float32),
        facing=np.clip(along / length, 0, 1).astype(np.float32),
        gloss=gloss,
        part=np.ascontiguousarray(part),
        uv=np.ascontiguousarray(uv),
    )
