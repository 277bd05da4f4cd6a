"""Light on surfaces: hemisphere ambient, one key light with shadows in screen space, and an infrared emitter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mfas.simulation._numba import kernel
from mfas.simulation.geometry import Floats, Ints

CHANNELS = 6
"""A texture's last axis: linear R, G, B albedo; near-infrared albedo; gloss (specular strength); alpha."""


@dataclass(frozen=True, slots=True)
class Light:
    """Light of one presentation, linear and relative (1 = what a mid-grey exposure expects).

    ``key_direction`` points from the scene towards the light, camera coordinates. ``reference_mm`` is where
    the infrared emitter gives unit irradiance.
    """

    ambient: Floats
    ground: Floats
    key: Floats
    key_direction: Floats
    softness: float
    shadow: float
    reference_mm: float


_PEAK = 256
"""Steps in which a highlight is tabled; a power per pixel would be half of the shader's time."""


@kernel
def shade(
    part: int,
    texture: Floats,
    emissive: bool,
    exponent: float,
    wrap: float,
    z_in: Floats,
    n_in: Floats,
    uv_in: Floats,
    part_in: Ints,
    occlusion: Floats,
    visible: Floats,
    focal: float,
    cx: float,
    cy: float,
    ambient: Floats,
    ground: Floats,
    key: Floats,
    direction: Floats,
    reference: float,
    window: tuple[int, int, int, int],
    rgb: Floats,
    active: Floats,
    passive: Floats,
) -> None:
    """Radiance of the pixels of one part: ``rgb`` (H, W, 3), and infrared under the emitter and in the scene's light.

    Lambert with a wrap for subsurface scattering, Blinn-Phong with ``exponent``. ``occlusion`` and ``visible`` are in
    [0, 1]. An emissive part shines with its RGB texture; its surface reflects as black glass. ``window`` holds the
    rows and columns that the part was drawn in (first, end, first, end).
    """
    th, tw = texture.shape[0], texture.shape[1]
    t = np.empty(6, np.float32)
    norm = (exponent + 8.0) / 25.0
    dull = 1e-6 ** (1.0 / exponent)  # below this cosine a highlight is less than a millionth of its peak
    grain = (1.0 - dull) / (_PEAK - 2)
    peak = np.empty(_PEAK, np.float32)
    for i in range(_PEAK):
        peak[i] = (dull + i * grain) ** exponent
    for y in range(window[0], window[1]):
        for x in range(window[2], window[3]):
            if part_in[y, x] != part:
                continue
            u = min(max(uv_in[y, x, 0] * tw - 0.5, 0.0), tw - 1.001)
            v = min(max(uv_in[y, x, 1] * th - 0.5, 0.0), th - 1.001)
            c, r = int(u), int(v)
            fu, fv = u - c, v - r
            c1, r1 = min(c + 1, tw - 1), min(r + 1, th - 1)
            for k in range(5):
                top = texture[r, c, k] * (1 - fu) + texture[r, c1, k] * fu
                low = texture[r1, c, k] * (1 - fu) + texture[r1, c1, k] * fu
                t[k] = top * (1 - fv) + low * fv
            nx, ny, nz = n_in[y, x, 0], n_in[y, x, 1], n_in[y, x, 2]
            size = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
            nx, ny, nz = nx / size, ny / size, nz / size
            vx, vy = -(x + 0.5 - cx) / focal, -(y + 0.5 - cy) / focal
            far = np.sqrt(vx * vx + vy * vy + 1.0)
            vx, vy, vz = vx / far, vy / far, -1.0 / far
            facing = max(nx * vx + ny * vy + nz * vz, 0.0)
            toward = nx * direction[0] + ny * direction[1] + nz * direction[2]
            lit = max(toward + wrap, 0.0) / (1.0 + wrap) * visible[y, x]
            shine, glint = 0.0, 0.0
            if t[4] > 0.003:
                hx, hy, hz = vx + direction[0], vy + direction[1], vz + direction[2]
                hs = np.sqrt(hx * hx + hy * hy + hz * hz) + 1e-9
                half = max((nx * hx + ny * hy + nz * hz) / hs, 0.0)
                if half > dull:
                    at = (min(half, 1.0) - dull) / grain
                    i = int(at)
                    shine = t[4] * norm * (peak[i] + (at - i) * (peak[i + 1] - peak[i])) * visible[y, x]
                if facing * facing > dull:
                    at = (min(facing * facing, 1.0) - dull) / grain
                    i = int(at)
                    glint = t[4] * norm * (peak[i] + (at - i) * (peak[i + 1] - peak[i]))
            up = 0.5 - 0.5 * ny
            fresnel = t[4] * 0.12 * (1.0 - facing) ** 3
            for k in range(3):
                sky = (ambient[k] * up + ground[k] * (1.0 - up)) * occlusion[y, x]
                if emissive:
                    rgb[y, x, k] = t[k] * (0.45 + 0.55 * facing) + 0.02 * sky + shine * key[k] * 0.2
                else:
                    rgb[y, x, k] = t[k] * (sky + key[k] * lit) + shine * key[k] * 0.25 + fresnel * sky
            distance = z_in[y, x] * far
            fall = (reference / distance) ** 2
            body = facing * (1.0 - 0.6 * wrap) + 0.6 * wrap * np.sqrt(facing)
            active[y, x] = (t[3] * body * (0.55 + 0.45 * occlusion[y, x]) + min(0.30 * glint, 2.0)) * fall
            sky_grey = (ambient[0] * up + ground[0] * (1.0 - up)) * occlusion[y, x]
            passive[y, x] = t[3] * (sky_grey + key[0] * lit) + 0.2 * shine * key[0]


@kernel
def shadows(z: Floats, focal: float, cx: float, cy: float, direction: Floats, reach: float, steps: int) -> Floats:
    """Soft visibility of the key light (H, W) in [0, 1], marching ``reach`` mm along ``direction`` through ``z``."""
    height, width = z.shape
    out = np.ones((height, width), np.float32)
    reaches = reach * (np.arange(1, steps + 1) / steps) ** 1.5
    for y in range(height):
        for x in range(width):
            zc = z[y, x]
            if not np.isfinite(zc):
                continue
            px, py = (x + 0.5 - cx) * zc / focal, (y + 0.5 - cy) * zc / focal
            hidden = 0.0
            for along in reaches:
                qz = zc + direction[2] * along
                qx = int((px + direction[0] * along) * focal / qz + cx)
                qy = int((py + direction[1] * along) * focal / qz + cy)
                if qx < 0 or qy < 0 or qx >= width or qy >= height:
                    break
                under = qz - z[qy, qx]
                if under > 2.0 + 0.06 * along and under < 160.0:
                    hidden += 1.0 / (1.0 + 0.01 * along)
            out[y, x] = 1.0 - min(1.0, hidden / 3.0)
    return out
