"""The wall behind, and the light of a place."""

from __future__ import annotations

import cv2
import numpy as np

from mfas.simulation.choices import Choose, as_drawn
from mfas.simulation.geometry import Floats, Mesh, place, sheet
from mfas.simulation.scene import Part
from mfas.simulation.shading import Light
from mfas.simulation.site import Site

_SIZE = 96


def draw_light(site: Site, rng: np.random.Generator, choose: Choose = as_drawn) -> Light:
    """Draw the light of one presentation; who chooses where to stand may ``choose`` some of it."""
    spec = site.light
    azimuth = np.deg2rad(choose("azimuth_deg", rng.uniform(*spec.azimuth_deg)))
    elevation = np.deg2rad(choose("elevation_deg", rng.uniform(*spec.elevation_deg)))
    direction = np.array(
        [np.sin(azimuth) * np.cos(elevation), -np.sin(elevation), -np.cos(azimuth) * np.cos(elevation)], np.float32
    )
    warm = tint(choose("kelvin", rng.uniform(*spec.kelvin)))
    sky = tint(rng.uniform(*spec.kelvin))
    ambient = choose("ambient", rng.uniform(*spec.ambient))
    return Light(
        ambient=(ambient * sky).astype(np.float32),
        ground=(ambient * rng.uniform(0.3, 0.7) * (0.5 * sky + 0.5)).astype(np.float32),
        key=(choose("key", rng.uniform(*spec.key)) * warm).astype(np.float32),
        key_direction=direction,
        softness=spec.softness,
        shadow=spec.shadow,
        reference_mm=float(np.mean(site.distance_mm)),
    )


def tint(kelvin: float) -> Floats:
    """Linear RGB of a light of ``kelvin`` for a camera balanced to 5000 K, green = 1 (a fit of the Planckian locus)."""
    mired = 1e6 / kelvin - 200.0
    return np.array([np.exp(0.0032 * mired), 1.0, np.exp(-0.0052 * mired)], np.float32)


def backdrop(texture: Floats, *, behind_mm: float, across_mm: float) -> Part:
    """A wall ``behind_mm`` from the camera, ``across_mm`` wide, that shows ``texture``."""
    mesh = sheet(across_mm, across_mm, steps=2)
    moved = place(mesh.vertices, (0.0, 0.0, behind_mm))
    return Part("backdrop", Mesh(moved, mesh.faces, mesh.uv), texture)


def scenery_of(site: Site, rng: np.random.Generator) -> Floats:
    """What the wall of a site may look like."""
    return scenery(rng, site.background.clutter, site.background.brightness, site.background.colour)


def scenery(rng: np.random.Generator, clutter: float, brightness: tuple[float, float], colour: float) -> Floats:
    """A texture of a wall with doors, shelves, pictures and panels."""
    texture = np.ones((_SIZE, _SIZE, 6), np.float32)
    texture[..., :4] = _shade(rng, brightness, colour)
    slope = np.linspace(-1, 1, _SIZE)
    texture[..., :3] *= (1 + 0.25 * rng.uniform(-1, 1) * slope)[:, None, None]
    for _ in range(int(rng.poisson(11 * clutter))):
        width, height = rng.integers(4, 40), rng.integers(4, 60)
        x, y = rng.integers(-8, _SIZE), rng.integers(-16, _SIZE)
        box = (slice(max(0, y), max(0, y + height)), slice(max(0, x), max(0, x + width)))
        glow = 2.5 if rng.random() < 0.05 else 1.0
        texture[(*box, slice(0, 4))] = _shade(rng, (0.02, 0.8), colour) * glow
    texture = cv2.GaussianBlur(texture, (0, 0), rng.uniform(0.4, 2.2))
    grain = cv2.resize(rng.standard_normal((24, 24)).astype(np.float32), (_SIZE, _SIZE), interpolation=cv2.INTER_CUBIC)
    texture[..., :4] *= np.clip(1 + 0.08 * grain, 0.5, 1.5)[..., None]
    texture[..., 4], texture[..., 5] = 0.0, 1.0
    return np.ascontiguousarray(texture)


def _shade(rng: np.random.Generator, brightness: tuple[float, float], colour: float) -> Floats:
    level = rng.uniform(*brightness)
    warmth, green = 0.5 * colour * rng.standard_normal(2) * (1.0, 0.35)
    rgb = level * np.exp([warmth, green, -warmth])
    return np.asarray(np.clip(np.append(rgb, rng.uniform(0.2, 0.7)), 0.01, 0.9), np.float32)
