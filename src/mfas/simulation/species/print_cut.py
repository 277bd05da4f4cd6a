"""A printed photograph with holes, worn before the attacker's own face."""

from __future__ import annotations

from mfas.simulation.species._sheet import held_print
from mfas.simulation.stage import Prop, Stage


class PrintCut:
    """Holes at the eyes, sometimes mouth or nose: the attacker's real eyes move and blink in all three sensors.

    Quality 0: stiff creased paper that stands on the attacker's nose, holes a few millimetres beside their eyes, poor
    print. Quality 1: bent round the face and close to it, holes before the eyes, good print.
    """

    name = "print_cut"

    def prepare(self, stage: Stage) -> Prop:
        """Print, cut and wear."""
        rng = stage.rng("bend")
        choices = (("eyes",), ("eyes", "mouth"), ("eyes", "nose"), ("eyes", "nose", "mouth"))
        cut = choices[int(rng.choice(4, p=[0.5, 0.2, 0.15, 0.15]))]
        radius = rng.uniform(95, 160) if stage.quality > 0.4 else rng.uniform(200, 900)
        radius = stage.choose("radius_mm", radius)
        return held_print(stage, bend=1 / radius, bend_axis_deg=90 + rng.normal(0, 5), cut=cut)
