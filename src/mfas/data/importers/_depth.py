"""The setting of sets whose depth has no unit."""

from __future__ import annotations

from typing import Literal

from mfas.config import Config


class NearBright(Config):
    """Depth of 8 bit, near objects brighter unless told otherwise."""

    depth_kind: Literal["relative_near_bright", "relative_far_bright"] = "relative_near_bright"


class FarBright(Config):
    """Depth without a unit, far objects brighter unless told otherwise."""

    depth_kind: Literal["relative_near_bright", "relative_far_bright"] = "relative_far_bright"
