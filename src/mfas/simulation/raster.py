"""A z-buffer rasteriser: triangles in camera coordinates to per-pixel depth, normal, texture coordinate and part."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mfas.simulation._numba import kernel
from mfas.simulation.geometry import Floats, Ints


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole: focal length and principal point in pixels of a ``size`` x ``size`` image."""

    focal: float
    cx: float
    cy: float
    size: int

    def scaled(self, factor: float) -> Camera:
        """The same view with ``factor`` times as many pixels a side."""
        return Camera(self.focal * factor, self.cx * factor, self.cy * factor, round(self.size * factor))

    def project(self, points: Floats) -> Floats:
        """Camera-space points (N, 3) mm to pixels (N, 2)."""
        scale = self.focal / points[:, 2:3]
        return np.asarray(points[:, :2] * scale + np.array([self.cx, self.cy]), np.float32)


@dataclass(frozen=True, slots=True)
class Buffers:
    """What each pixel sees: ``z`` mm (inf = nothing), ``normal`` (H, W, 3), ``uv`` (H, W, 2), ``part`` (-1 = none).

    ``window`` tells which rows and columns a part was drawn in (first, end, first, end).
    """

    z: Floats
    normal: Floats
    uv: Floats
    part: Ints
    window: dict[int, tuple[int, int, int, int]] = field(default_factory=dict)


def empty_buffers(height: int, width: int) -> Buffers:
    """Buffers of an image that sees nothing."""
    return Buffers(
        np.full((height, width), np.inf, np.float32),
        np.zeros((height, width, 3), np.float32),
        np.zeros((height, width, 2), np.float32),
        np.full((height, width), -1, np.int32),
    )


@kernel
def rasterise(
    vertices: Floats,
    normals: Floats,
    uv: Floats,
    faces: Ints,
    alpha: Floats,
    part: int,
    two_sided: bool,
    focal: float,
    cx: float,
    cy: float,
    z_out: Floats,
    n_out: Floats,
    uv_out: Floats,
    part_out: Ints,
) -> tuple[int, int, int, int]:
    """Draw one mesh into the buffers, perspective-correct; pixels whose ``alpha`` (h, w) is below 0.5 are left open.

    An ``alpha`` of shape (1, 1) means opaque. Pixel centres are at half-integer positions. Returns the window that was
    drawn in: first row and the one after the last, first column and the one after the last.
    """
    height, width = z_out.shape
    ah, aw = alpha.shape
    count = vertices.shape[0]
    px = np.empty(count, np.float32)
    py = np.empty(count, np.float32)
    iz = np.empty(count, np.float32)
    for i in range(count):
        z = vertices[i, 2]
        if z < 1.0:
            z = np.float32(1.0)
        iz[i] = 1.0 / z
        px[i] = vertices[i, 0] * focal * iz[i] + cx
        py[i] = vertices[i, 1] * focal * iz[i] + cy
    top, bottom, left, right = height, 0, width, 0
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        area = (px[j] - px[i]) * (py[k] - py[i]) - (px[k] - px[i]) * (py[j] - py[i])
        if area == 0.0 or (area > 0.0 and not two_sided):
            continue
        sign = np.float32(1.0)
        if area > 0.0:
            sign = np.float32(-1.0)
        # only pixel centres inside the bounding box (and a hair beside it) can be covered
        x0 = max(0, int(np.ceil(min(px[i], px[j], px[k]) - 0.51)))
        x1 = min(width - 1, int(np.floor(max(px[i], px[j], px[k]) - 0.49)))
        y0 = max(0, int(np.ceil(min(py[i], py[j], py[k]) - 0.51)))
        y1 = min(height - 1, int(np.floor(max(py[i], py[j], py[k]) - 0.49)))
        if x1 < x0 or y1 < y0:
            continue
        top, bottom, left, right = min(top, y0), max(bottom, y1 + 1), min(left, x0), max(right, x1 + 1)
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                sx = x + 0.5
                sy = y + 0.5
                wi = ((px[j] - sx) * (py[k] - sy) - (px[k] - sx) * (py[j] - sy)) / area
                wj = ((px[k] - sx) * (py[i] - sy) - (px[i] - sx) * (py[k] - sy)) / area
                wk = 1.0 - wi - wj
                if wi < -1e-5 or wj < -1e-5 or wk < -1e-5:
                    continue
                wi *= iz[i]
                wj *= iz[j]
                wk *= iz[k]
                z = 1.0 / (wi + wj + wk)
                if z >= z_out[y, x]:
                    continue
                u = (wi * uv[i, 0] + wj * uv[j, 0] + wk * uv[k, 0]) * z
                v = (wi * uv[i, 1] + wj * uv[j, 1] + wk * uv[k, 1]) * z
                if ah > 1:
                    r = min(ah - 1, max(0, int(v * ah)))
                    c = min(aw - 1, max(0, int(u * aw)))
                    if alpha[r, c] < 0.5:
                        continue
                z_out[y, x] = z
                uv_out[y, x, 0] = u
                uv_out[y, x, 1] = v
                part_out[y, x] = part
                for d in range(3):
                    n_out[y, x, d] = sign * (wi * normals[i, d] + wj * normals[j, d] + wk * normals[k, d]) * z
    return top, bottom, left, right
