"""A printed photograph bent around a cylinder, to have relief."""

from __future__ import annotations

from mfas.simulation.species._sheet import held_print
from mfas.simulation.stage import Prop, Stage


class PrintCurved:
    """Bent about a near-vertical axis with a radius from that of a head (85 mm, careful) to 300 mm.

    Quality 0: a shallow creased bend, a poor print. Quality 1: the radius of a head and, often, pressed against a face,
    which gives it a soft nose and eye hollows; a good print.
    """

    name = "print_curved"

    def prepare(self, stage: Stage) -> Prop:
        """Print and bend."""
        rng = stage.rng("bend")
        radius = stage.choose("radius_mm", 85 + (1 - stage.quality) * 160 * rng.uniform(0.3, 1.3))
        mould = stage.choose("mould", stage.quality * rng.uniform(0, 1) if rng.random() < 0.7 else 0.0)
        axis = stage.choose("bend_axis_deg", 90 + rng.normal(0, 8))
        return held_print(stage, bend=1 / radius, bend_axis_deg=axis, mould=mould)
