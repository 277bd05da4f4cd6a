"""Sites with faults, for the tests of faults and of whole streams."""

from __future__ import annotations

from typing import Any

from mfas.simulation import Site, load_site
from mfas.simulation.faults import Faults

EVERYTHING = {
    "dropout": {"depth": 0.3, "rgb": 0.1, "spell_s": [3000, 9000]},
    "dark_ir": 0.3,
    "depth_holes": 0.4,
    "misregistration": 0.5,
    "exposure": 0.3,
    "lens_dirt": {"rgb": 1.0, "depth": 1.0, "ir": 1.0},
}


def faulty_site(name: str, **faults: Any) -> Site:
    """A built-in site with the given ``faults`` section."""
    return load_site(name).model_copy(update={"faults": Faults.model_validate(faults)})
