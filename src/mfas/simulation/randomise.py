"""Sites drawn at random, far beyond the built-in ones: to a model trained on many, a real camera is one more site.

Ranges are wider than any product's on purpose; each is named where it is drawn. Everything of a site depends on its
seed alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mfas.errors import ConfigError
from mfas.simulation.faults import Faults
from mfas.simulation.heads.base import generator
from mfas.simulation.site import Site
from mfas.simulation.species import species_names

PREFIX = "random:"
"""``random:17`` names the site of seed 17 wherever a site is asked for."""

WEBCAM_SHARE = 0.3
"""Share of sites whose colour camera is a very ordinary webcam: coarse, noisy, hard compressed, off in colour."""

FAULTY_SHARE = 0.5
"""Share of sites whose sensors fail now and then."""

Values = dict[str, Any]


def random_site(seed: int) -> Site:
    """The site of ``seed`` (0 or more): valid, 112 pixels, named ``random_<seed>``.

    Drawn are distance (0.25 to 1.6 m), framing, light, background, pose, people (who may be nearly of one tone), all
    keys of the colour camera, one of the three depth sensors with all of its keys, all keys of the infrared camera,
    two to eleven species with shares and ranges of quality, and, at half of the sites, faults. Raises `ConfigError` for
    a negative seed.
    """
    if seed < 0:
        raise ConfigError(f"expected the seed of a random site as 0 or more, got {seed}")
    rng = generator("random site", seed)
    near = _log(rng, 250, 1000)
    distance = (near, round(near * float(rng.uniform(1.1, 1.6)), 1))
    webcam = bool(rng.random() < WEBCAM_SHARE)
    return Site.model_validate(
        {
            "name": f"random_{seed}",
            "description": f"Drawn at random, seed {seed}{'; an ordinary webcam' if webcam else ''}.",
            "resolution": 112,
            "bona_fide_share": _flat(rng, 0.4, 0.6),
            "distance_mm": distance,
            "face_fraction": _apart(rng, 0.36, 0.72, 0.1),
            "box_jitter": _flat(rng, 0.02, 0.1),
            "light": _light(rng),
            "background": _background(rng),
            "pose": _pose(rng),
            "population": _population(rng),
            "rgb": _rgb(rng) | (_webcam(rng) if webcam else {}),
            "depth": _depth(rng, float(np.mean(distance))),
            "nir": _nir(rng),
            "faults": _faults(rng) if rng.random() < FAULTY_SHARE else {},
            "species": _species(rng),
        }
    )


def seed_of_name(text: str) -> int:
    """17 of ``random:17``; `ConfigError` when no number follows."""
    digits = text.removeprefix(PREFIX)
    if not digits.isascii() or not digits.isdigit():
        raise ConfigError(f"expected a random site as {PREFIX}NUMBER, got '{text}'")
    return int(digits)


def _light(rng: np.random.Generator) -> Values:
    side = _flat(rng, 20, 120)
    return {
        "ambient": _span(rng, 0.1, 1.1),
        "key": _span(rng, 0.0, 2.0),
        "azimuth_deg": (-side, side),
        "elevation_deg": _span(rng, -20, 85),
        "kelvin": _span(rng, 2400, 8500),
        "softness": _flat(rng, 0, 1),
        "shadow": _flat(rng, 0.2, 0.95),
    }


def _background(rng: np.random.Generator) -> Values:
    near = _log(rng, 300, 2500)
    return {
        "distance_mm": (near, round(near * float(rng.uniform(1.2, 4)), 1)),
        "clutter": _flat(rng, 0, 1),
        "brightness": _span(rng, 0.03, 0.95),
        "colour": _flat(rng, 0, 0.8),
    }


def _pose(rng: np.random.Generator) -> Values:
    return {
        "yaw_deg": _flat(rng, 4, 18),
        "pitch_deg": _flat(rng, 3, 12),
        "roll_deg": _flat(rng, 2, 9),
        "shake_deg": _flat(rng, 0.4, 3),
    }


def _population(rng: np.random.Generator) -> Values:
    # a low concentration: some sites serve nearly one tone, others all of them
    tones = rng.dirichlet([float(rng.uniform(0.4, 3))] * 6) + 0.01
    return {"tones": tuple(round(float(t), 4) for t in tones), "expression": _flat(rng, 0.2, 1)}


def _rgb(rng: np.random.Generator) -> Values:
    lowest = int(rng.integers(40, 90))
    return {
        "exposure": _span(rng, 0.08, 0.38),
        "exposure_error": _flat(rng, 0.05, 0.4),
        "cast": _cast(rng, 0.07),
        "white_balance_error": _flat(rng, 0.02, 0.12),
        "blur_px": _log_span(rng, 0.2, 1.5),
        "motion_px": (0.0, _flat(rng, 0.5, 4)),
        "sampling": _span(rng, 0.45, 1.0) if rng.random() < 0.5 else (1.0, 1.0),
        "photons": _log(rng, 700, 15000),
        "read_noise": _log(rng, 0.001, 0.008),
        "jpeg": (lowest, int(rng.integers(lowest + 5, 100))),
        "vignette": _flat(rng, 0, 0.5),
        "saturation": _flat(rng, 0.6, 1.4),
        "contrast": _flat(rng, 0.8, 1.25),
    }


def _webcam(rng: np.random.Generator) -> Values:
    lowest = int(rng.integers(18, 50))
    return {
        "cast": _cast(rng, 0.14),
        "white_balance_error": _flat(rng, 0.08, 0.2),
        "blur_px": _span(rng, 0.5, 1.8),
        "sampling": _span(rng, 0.3, 0.7),
        "photons": _log(rng, 200, 1500),
        "read_noise": _log(rng, 0.005, 0.02),
        "jpeg": (lowest, lowest + int(rng.integers(10, 35))),
        "saturation": _flat(rng, 0.4, 1.6),
        "contrast": _flat(rng, 0.7, 1.4),
    }


def _depth(rng: np.random.Generator, distance: float) -> Values:
    kind = ("structured_light", "time_of_flight", "active_stereo")[int(rng.integers(3))]
    draw = {"structured_light": _structured_light, "time_of_flight": _time_of_flight, "active_stereo": _active_stereo}
    unit = (1.0, 1.0, 0.5, 0.25, 0.1)[int(rng.integers(5))]
    # a 16-bit image must be able to count as far as the sensor reaches
    reach = (_flat(rng, 80, 200), min(_log(rng, 1800, 9000), 65000 * unit))
    return {"kind": kind, "unit_mm": unit, "reach_mm": reach} | draw[kind](rng, distance)


def _structured_light(rng: np.random.Generator, distance: float) -> Values:
    return {
        # emitters stand farther from the lens where the sensor is built for farther
        "baseline_mm": min(90.0, distance * _flat(rng, 0.03, 0.11)),
        "noise_mm": distance / 700 * _log(rng, 0.15, 3.5),
        "noise_px": _flat(rng, 0.3, 2),
        "reference_mm": distance,
        "step_mm": distance / 700 * _flat(rng, 0.5, 4) if rng.random() < 0.5 else 0.0,
        "smooth_px": _flat(rng, 0.3, 2),
        "dark_hole": _log(rng, 0.001, 0.08),
        "steep_hole": _flat(rng, 0.05, 0.3),
        "shine_hole": _flat(rng, 0, 0.6),
        "speckle_hole": _log(rng, 0.0002, 0.01),
    }


def _time_of_flight(rng: np.random.Generator, distance: float) -> Values:
    return {
        "noise_mm": distance / 700 * _log(rng, 0.5, 4),
        "offset_mm": _flat(rng, 0, 10),
        "multipath": _flat(rng, 0, 0.35),
        "multipath_px": _flat(rng, 3, 12),
        "flying": _flat(rng, 0.2, 1),
        "edge_hole": _flat(rng, 0, 0.9),
        "dark_hole": _log(rng, 0.002, 0.06),
    }


def _active_stereo(rng: np.random.Generator, distance: float) -> Values:
    return {
        "baseline_mm": min(110.0, distance * _flat(rng, 0.04, 0.12)),
        "subpixel": _log(rng, 0.03, 0.2),
        "sensor_focal_px": _flat(rng, 350, 950),
        "noise_px": _flat(rng, 0.8, 3),
        "window_px": _flat(rng, 0.8, 3),
        "bland_hole": _flat(rng, 0, 0.6),
        "shine_hole": _flat(rng, 0, 0.6),
    }


def _nir(rng: np.random.Generator) -> Values:
    low = _log(rng, 0.2, 1.3)
    deep = bool(rng.random() < 0.3)
    return {
        "gain": (low, round(low * float(rng.uniform(1.1, 2)), 4)),
        "automatic": _flat(rng, 0, 1) if rng.random() < 0.5 else 0.0,
        "aim": _flat(rng, 0.4, 0.85),
        "ambient": (0.0, _log(rng, 0.01, 0.8)),
        "blur_px": _log_span(rng, 0.2, 1.6),
        "photons": _log(rng, 400, 12000),
        "read_noise": _log(rng, 0.001, 0.012),
        "hotspot": _flat(rng, 0, 0.55),
        "exponent": 1.0 if deep else _flat(rng, 0.55, 1.3),
        "bits": 16 if deep else 8,
    }


def _faults(rng: np.random.Generator) -> Values:
    """Each kind at half of the faulty sites; whole sensors fail rarely, so that most captures are complete."""
    faults: Values = {
        "dropout": {"rgb": _flat(rng, 0, 0.05), "depth": _flat(rng, 0, 0.25), "ir": _flat(rng, 0, 0.25)},
        "dark_ir": {"probability": _flat(rng, 0, 0.15), "residual": _flat(rng, 0, 0.3)},
        "depth_holes": {"probability": _flat(rng, 0.05, 0.4), "size_px": _apart(rng, 4, 34, 5)},
        "misregistration": {"probability": _flat(rng, 0.1, 0.8), "shift_px": _apart(rng, 0.5, 6, 1)},
        "exposure": {"rgb": _flat(rng, 0.02, 0.2), "ir": _flat(rng, 0.02, 0.2), "factor": _apart(rng, 1.3, 4, 0.5)},
        "lens_dirt": {"rgb": _flat(rng, 0, 1), "depth": _flat(rng, 0, 1), "ir": _flat(rng, 0, 1)},
    }
    assert set(faults) == set(Faults.model_fields)
    strikes = rng.random(len(faults)) < 0.5
    return {name: values for (name, values), struck in zip(faults.items(), strikes, strict=True) if struck}


def _species(rng: np.random.Generator) -> Values:
    names = species_names()
    chosen = sorted(rng.choice(names, int(rng.integers(2, len(names) + 1)), replace=False).tolist())
    weights = rng.dirichlet([2.0] * len(chosen)) + 0.04
    shares = weights / weights.sum()
    return {
        name: {"share": float(share), "quality": _apart(rng, 0, 1, 0.3)}
        for name, share in zip(chosen, shares, strict=True)
    }


def _flat(rng: np.random.Generator, low: float, high: float) -> float:
    return round(float(rng.uniform(low, high)), 4)


def _log(rng: np.random.Generator, low: float, high: float) -> float:
    """Uniform in the logarithm: as many sites between 1 and 2 as between 2 and 4."""
    return round(float(np.exp(rng.uniform(np.log(low), np.log(high)))), 5)


def _span(rng: np.random.Generator, low: float, high: float) -> tuple[float, float]:
    """A range within ``[low, high]``, of any width."""
    first, second = sorted(_flat(rng, low, high) for _ in range(2))
    return first, second


def _log_span(rng: np.random.Generator, low: float, high: float) -> tuple[float, float]:
    first, second = sorted(_log(rng, low, high) for _ in range(2))
    return first, second


def _apart(rng: np.random.Generator, low: float, high: float, least: float) -> tuple[float, float]:
    """A range within ``[low, high]``, at least ``least`` wide."""
    first = _flat(rng, low, high - least)
    return first, _flat(rng, first + least, high)


def _cast(rng: np.random.Generator, spread: float) -> tuple[float, float, float]:
    red, blue = np.exp(spread * rng.standard_normal(2))
    return round(float(red), 4), 1.0, round(float(blue), 4)
