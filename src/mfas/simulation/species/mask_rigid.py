"""A rigid mask of resin or plastic."""

from __future__ import annotations

from mfas.simulation.species._material import infrared, painted
from mfas.simulation.species._paper import presenter_head
from mfas.simulation.species._spectacles import survey
from mfas.simulation.species._worn import WornProp, holes, over, victim_cast, widened
from mfas.simulation.stage import Prop, Stage

_INNER = 0.93


class MaskRigid:
    """Another person's relief worn before the face, without expression; hair, ears and neck stay the presenter's.

    Quality 0: a thick shell that sits large and proud of the face, flat paint in a wrong tone, lacquer that glares,
    pigments far from skin in infrared. Quality 1: a fitted shell, finely painted and matted, near skin's level in
    infrared. At any quality it is opaque to the surface (no light spreads under it), rigid, and ends in a step at its
    rim and its eye holes.
    """

    name = "mask_rigid"

    def prepare(self, stage: Stage) -> Prop:
        """Cast and paint a mask of the victim."""
        rng = stage.rng("mask")
        careless = 1 - stage.quality
        victim = victim_cast(stage)
        mesh = over(stage, victim, enlarge=1.02 + 0.05 * careless, gap_mm=3.5 + 4.5 * careless)
        mesh = widened(stage, mesh, _INNER)
        texture = painted(victim, rng, mottling=0.5 * stage.quality, blur=0.5 + 2.2 * careless,
                          cast=0.04 + 0.14 * careless, choose=stage.choose)  # fmt: skip
        texture[..., 3] = infrared(victim, rng, unlike=0.3 + 0.7 * careless, shown=rng.uniform(0, 0.3) +
                                   0.35 * stage.quality, choose=stage.choose)  # fmt: skip
        # resin and lacquer are smooth where skin is rough: a narrow highlight in visible light and infrared alike
        texture[..., 4] = stage.choose("gloss", 0.08 + rng.uniform(0.15, 0.4) * careless)
        alpha = holes(victim, ("eyes",) if rng.random() < 0.6 else (), 0.75)
        texture[..., 5] = alpha * victim.regions["face"]
        return WornProp(
            stage, victim, mesh, texture, victim.face_box[1] - victim.face_box[3],
            exponent=20 + 50 * careless, wrap=0.03, mobility=0.0, inner=_INNER,
            eyes=survey(presenter_head(stage)),
        )  # fmt: skip
