"""A printed photograph held nearly flat."""

from __future__ import annotations

from mfas.simulation.species._sheet import held_print
from mfas.simulation.stage import Prop, Stage


class PrintFlat:
    """A plane, tilted, hand-held; nobody holds paper perfectly flat.

    Quality 0: creased and wavy, often with its white margin, printed badly (see `printed`). Quality 1: smooth,
    trimmed, printed well.
    """

    name = "print_flat"

    def prepare(self, stage: Stage) -> Prop:
        """Print and hold up."""
        rng = stage.rng("bend")
        bend = stage.choose("bend_per_mm", rng.normal(0, 0.0006))
        return held_print(stage, bend=bend, bend_axis_deg=stage.choose("bend_axis_deg", rng.uniform(0, 180)))
