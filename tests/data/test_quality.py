"""Quality flags: images that a person would call useless, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mfas.card import Preprocess
from mfas.core import Modality
from mfas.data.preprocess import normalise_depth, normalise_ir, normalise_rgb
from mfas.data.quality import Flag, quality_flags

SPEC = Preprocess(size=48)
RNG = np.random.default_rng(0)
COLOUR = RNG.integers(40, 200, (48, 48, 3)).astype(np.uint8)
GLOOM = np.full_like(COLOUR, 2)
GLOOM[:5] = 60
INFRARED = RNG.integers(60, 140, (48, 48)).astype(np.uint8)


def flags(modality: Modality, image: Any) -> tuple[Flag, ...]:
    make = {Modality.RGB: normalise_rgb, Modality.DEPTH: normalise_depth, Modality.IR: normalise_ir}
    return quality_flags({modality: make[modality](image, SPEC)}, SPEC)[modality]


@pytest.mark.parametrize(
    ("image", "found"),
    [
        (COLOUR, ()),
        (GLOOM, (Flag.DARK,)),
        (255 - GLOOM, (Flag.BRIGHT,)),
        (np.full_like(COLOUR, 128), (Flag.LOW_CONTRAST,)),
        (np.zeros_like(COLOUR), (Flag.DARK, Flag.LOW_CONTRAST)),
    ],
    ids=["sound", "dark", "bright", "flat", "black"],
)
def test_colour(image: Any, found: tuple[Flag, ...]) -> None:
    assert flags(Modality.RGB, image) == found


def test_infrared_that_is_black_or_glares() -> None:
    assert flags(Modality.IR, INFRARED) == ()
    assert flags(Modality.IR, np.ones_like(INFRARED)) == (Flag.DARK,)
    glare = INFRARED.copy()
    glare[18:30, 16:20] = 255
    glare[16:32, 20:32] = 60
    assert flags(Modality.IR, glare) == (Flag.GLARE,)


def test_depth_with_holes_in_the_face_and_not_beside_it() -> None:
    depth = np.full((48, 48), 0.6, np.float32)
    assert flags(Modality.DEPTH, depth) == ()
    beside = depth.copy()
    beside[:16] = np.nan
    assert flags(Modality.DEPTH, beside) == ()
    holes = depth.copy()
    holes[16:25, 16:32] = np.nan
    assert flags(Modality.DEPTH, holes) == (Flag.HOLES,)


def test_only_what_is_there_is_looked_at() -> None:
    assert quality_flags({Modality.IR: normalise_ir(INFRARED, SPEC)}, SPEC) == {Modality.IR: ()}
