"""What an attacker may choose: named parameters with plausible ranges, by species and site.

A species draws its parameters from `Stage.rng`; where it draws one that an attacker has in hand, it asks `Stage.choose`
whether somebody has chosen it. Nothing is drawn more or less for that: without choices the bytes stay the same.
Ranges hold what the draws can give, each on its own, so a chosen attack is made of what the simulator might have drawn.
Sensor noise, exposure and the detector's errors are nobody's choice and stay drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mfas.errors import InputError
from mfas.simulation.site import Site

Choose = Callable[[str, float], float]
"""Name of a parameter and the value that was drawn -> the value to use."""

_POSE_LIMIT = 2.2
"""Poses are drawn to that many standard deviations; see `mfas.simulation.motion.pose_at`."""


def as_drawn(name: str, drawn: float) -> float:
    """Nobody chooses."""
    del name
    return drawn


@dataclass(frozen=True, slots=True)
class Choice:
    """One parameter of an attack: ``low`` to ``high`` in ``unit`` (empty: a plain number), and what it is."""

    name: str
    low: float
    high: float
    unit: str
    meaning: str


_INK = (
    Choice("carbon", 0.02, 1.0, "", "share of carbon black in the ink: what infrared sees of the picture"),
    Choice("paper_ir", 0.62, 0.85, "", "infrared reflectance of the paper"),
    Choice("density", 1.3, 1.9, "", "how brightly the picture is printed"),
    Choice("ink_saturation", 0.52, 1.02, "", "colour that the ink keeps"),
    Choice("gloss", 0.0, 0.5, "", "specular strength of the paper"),
)
_SHEET = (
    Choice("crease_mm", 0.0, 5.0, "mm", "height of creases and waves"),
    Choice("face_scale", 0.8, 1.08, "", "printed over living size of the face"),
)
_SCREEN = (
    Choice("brightness", 0.5, 2.0, "", "of the screen"),
    Choice("moire", 0.012, 0.122, "", "amplitude of moire"),
    Choice("bands", 0.0, 0.08, "", "amplitude of refresh bands"),
    Choice("screen_ir", 0.03, 0.09, "", "infrared reflectance of the glass"),
    Choice("shine", 0.175, 0.8, "", "specular strength of the glass"),
    Choice("turned_away_deg", -13.0, 13.0, "deg", "screen turned out of the mirror's direction"),
)
_PAINT = (
    Choice("albedo_ir", 0.15, 0.9, "", "infrared reflectance of the material"),
    Choice("paint_depth", -2.0, 2.0, "sd", "paint too dark or too pale"),
    Choice("paint_warmth", -2.0, 2.0, "sd", "paint too yellow or too pink"),
)
_BEND_AXIS = Choice("bend_axis_deg", 74.0, 106.0, "deg", "direction of the bend's axis, 90 = upright")

MATERIAL: Mapping[str, tuple[Choice, ...]] = {
    "print_flat": (
        *_INK,
        *_SHEET,
        Choice("bend_per_mm", -0.0012, 0.0012, "1/mm", "curvature"),
        Choice("bend_axis_deg", 0.0, 180.0, "deg", "direction of the bend's axis"),
    ),
    "print_curved": (
        *_INK,
        *_SHEET,
        Choice("radius_mm", 85.0, 293.0, "mm", "of the cylinder"),
        _BEND_AXIS,
        Choice("mould", 0.0, 1.0, "", "how far it takes the relief of a face"),
    ),
    "print_cut": (
        *_INK,
        Choice("crease_mm", 0.0, 5.0, "mm", "height of creases and waves"),
        Choice("face_scale", 0.93, 1.07, "", "printed over living size of the face"),
        Choice("radius_mm", 95.0, 900.0, "mm", "of the cylinder"),
        Choice("gap_mm", 2.0, 8.0, "mm", "between paper and face"),
    ),
    "replay_lcd": _SCREEN,
    "replay_oled": _SCREEN,
    "mask_paper": _INK,
    "mask_rigid": (
        *_PAINT,
        Choice("ir_detail", 0.0, 0.65, "", "contrast of the features that is left in infrared"),
        Choice("gloss", 0.08, 0.48, "", "specular strength of the lacquer"),
    ),
    "mask_silicone": (
        *_PAINT,
        Choice("ir_detail", 0.1, 0.55, "", "contrast of the features that is left in infrared"),
        Choice("film", 0.0, 0.4, "", "specular strength of the oil on it"),
    ),
    "fake_head": (
        *_PAINT,
        Choice("ir_detail", 0.0, 0.4, "", "contrast of the features that is left in infrared"),
        Choice("gloss", 0.12, 0.47, "", "specular strength of the paint"),
    ),
    "glasses": (
        *_INK,
        Choice("frame_ir", 0.05, 0.6, "", "infrared reflectance of the frame"),
        Choice("eye_scale", 1.0, 1.5, "", "printed over living size of the eyes"),
    ),
    "partial_paper": (*_INK, Choice("gap_mm", 1.5, 7.5, "mm", "between paper and face")),
}
"""Of what it is made and how it is held, by species; `choices` adds care, place, pose and light."""


def choices(site: Site, species: str) -> tuple[Choice, ...]:
    """Everything that the attacker chooses who shows ``species`` at ``site``; what has one value only is left out.

    Place, pose and light have the site's own ranges, ``quality`` that of the species there ([0, 1] where the site has
    none). Raises `InputError` for an unknown species.
    """
    if species not in MATERIAL:
        raise InputError(f"unknown species '{species}', expected one of {', '.join(sorted(MATERIAL))}")
    quality = site.species[species].quality if species in site.species else (0.0, 1.0)
    found = (Choice("quality", *quality, "", "0 = careless, 1 = careful"), *MATERIAL[species], *_place(site))
    return tuple(choice for choice in found if choice.high > choice.low)


def _place(site: Site) -> tuple[Choice, ...]:
    pose, light = site.pose, site.light
    turns = {"yaw_deg": pose.yaw_deg, "pitch_deg": pose.pitch_deg, "roll_deg": pose.roll_deg}
    return (
        *(Choice(name, -_POSE_LIMIT * sd, _POSE_LIMIT * sd, "deg", "how it is turned") for name, sd in turns.items()),
        Choice("distance_mm", *site.distance_mm, "mm", "to the sensors, before a small face is brought nearer"),
        Choice("ambient", *light.ambient, "", "light from all around"),
        Choice("key", *light.key, "", "light from one side"),
        Choice("azimuth_deg", *light.azimuth_deg, "deg", "where that comes from, positive = right"),
        Choice("elevation_deg", *light.elevation_deg, "deg", "how high it stands"),
        Choice("kelvin", *light.kelvin, "K", "its colour temperature"),
    )


def check_values(site: Site, species: str, values: Mapping[str, float]) -> None:
    """Raise `InputError` for a parameter the species has not, or a value outside its range."""
    known = {choice.name: choice for choice in choices(site, species)}
    for name, value in values.items():
        if name not in known:
            raise InputError(f"expected parameters of {species} out of {', '.join(known)}, got '{name}'")
        choice = known[name]
        if not choice.low <= value <= choice.high:
            raise InputError(f"expected '{name}' of {species} in [{choice.low:g}, {choice.high:g}], got {value:g}")
