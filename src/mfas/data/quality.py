"""Quality of what the sensors gave, as flags: read off the network input, so it is known wherever a score is.

Flags go into the decision record and change no score. The limits are plain numbers that describe an image a person
would call useless, not ones that were fitted to errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfas.card import Preprocess
from mfas.core import MODALITIES, Modality


class Flag(StrEnum):
    """What may be wrong with an image of a face.

    ``dark``, ``bright``: mean of a colour crop below `DARK` or above `BRIGHT` of full scale; infrared is dark when the
    face is not brighter than the noise floor of `mfas.data.preprocess.normalise_ir`. ``low_contrast``: standard
    deviation of a colour crop below `FLAT` of full scale. ``glare``: more than `GLARE` of the infrared face is brighter
    than the card's ``ir_clip``. ``holes``: less than `MEASURED` of the face has depth.
    """

    DARK = "dark"
    BRIGHT = "bright"
    LOW_CONTRAST = "low_contrast"
    GLARE = "glare"
    HOLES = "holes"


DARK = 0.08
BRIGHT = 0.92
FLAT = 0.03
GLARE = 0.1
MEASURED = 0.5

Floats = NDArray[np.float32]


def quality_flags(planes: Mapping[Modality, Floats], spec: Preprocess) -> dict[Modality, tuple[Flag, ...]]:
    """Flags of each modality of a capture, as `mfas.data.preprocess.preprocess` returns it; none for a sound image."""
    look = {Modality.RGB: _rgb, Modality.DEPTH: _depth, Modality.IR: _ir}
    return {m: tuple(look[m](planes[m], spec)) for m in MODALITIES if m in planes}


def _rgb(plane: Floats, spec: Preprocess) -> list[Flag]:
    std, mean = (np.array(x, np.float32) / len(plane) for x in (spec.rgb_std, spec.rgb_mean))
    level = std @ plane.reshape(len(plane), -1) + mean.sum()  # mean of the three colours of each pixel, 0 to 1
    average = level.mean()
    found = [(Flag.DARK, average < DARK), (Flag.BRIGHT, average > BRIGHT), (Flag.LOW_CONTRAST, level.std() < FLAT)]
    return [flag for flag, there in found if there]


def _depth(plane: Floats, spec: Preprocess) -> list[Flag]:
    del spec
    return [Flag.HOLES] if _middle(plane[1]).mean() < MEASURED else []


def _ir(plane: Floats, spec: Preprocess) -> list[Flag]:
    over = _middle(plane[0]) * np.float32(spec.ir_std) + np.float32(spec.ir_mean)
    # the percentile is 1 by construction unless the floor of the scaling was met
    dark = (over < 0.9).mean() > spec.ir_percentile / 100
    glare = (over >= spec.ir_clip * 0.999).mean() > GLARE
    return [flag for flag, there in ((Flag.DARK, dark), (Flag.GLARE, glare)) if there]


def _middle(image: NDArray[Any]) -> NDArray[Any]:
    """The central third in both directions: the face."""
    height, width = image.shape
    return image[height // 3 : height - height // 3, width // 3 : width - width // 3]
