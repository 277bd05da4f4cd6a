"""A flexible full-head mask: the hard one."""

from __future__ import annotations

import numpy as np

from mfas.simulation.species._material import infrared, painted
from mfas.simulation.species._paper import presenter_head
from mfas.simulation.species._spectacles import survey
from mfas.simulation.species._worn import WornProp, holes, over, seen_through, trimmed, victim_cast
from mfas.simulation.stage import Prop, Stage


class MaskSilicone:
    """Full relief, 3 to 8 mm thick, with the presenter's own eyes.

    Quality 0: a mask off the shelf: one even colour that misses the victim's, wet sheen, a pigment unlike skin in
    infrared, painted brows that vanish there, thick edges about the eyes, larger than a head, hardly any expression, a
    rim at the neck. Quality 1: made to measure: mottled, powdered matt, skin's level in infrared, punched hair, thin
    edges, half of the presenter's expression, neck under the collar. What remains is evenness, a step at the eyes and
    stiffness.
    """

    name = "mask_silicone"

    def prepare(self, stage: Stage) -> Prop:
        """Cast a mask of the victim in silicone."""
        rng = stage.rng("mask")
        careless = 1 - stage.quality
        victim = victim_cast(stage)
        mesh = over(stage, victim, enlarge=1.01 + 0.04 * careless + rng.uniform(0, 0.01), gap_mm=3 + 5 * careless)
        texture = painted(victim, rng, mottling=0.45 * stage.quality, blur=0.4 + 2.4 * careless,
                          cast=0.02 + 0.13 * careless, choose=stage.choose)  # fmt: skip
        # thick silicone is one scattering volume: no vessels, no lips, less contrast than skin even when well made
        texture[..., 3] = infrared(victim, rng, unlike=0.15 + 0.75 * careless, shown=0.1 + 0.45 * stage.quality,
                                   choose=stage.choose)  # fmt: skip
        # silicone oil comes to the surface: a film that powder hides
        film = stage.choose("film", rng.uniform(0.1, 0.4) * careless)
        texture[..., 4] = np.maximum(texture[..., 4], 0.09) + film
        texture[..., 5] = holes(victim, ("eyes",), 0.8)
        rim = rng.uniform(-165, -135) if rng.random() < careless else -400.0
        return WornProp(
            stage, victim, trimmed(mesh, rim), texture, victim.face_box[1] - victim.face_box[3],
            exponent=14 + 30 * careless, wrap=0.45, mobility=rng.uniform(0.6, 1.0) * 0.55 * stage.quality,
            inner=0.955 + 0.02 * stage.quality, seen=seen_through(stage, rim),
            eyes=survey(presenter_head(stage)),
        )  # fmt: skip
