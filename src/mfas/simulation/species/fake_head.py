"""A mannequin's head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mfas.simulation.geometry import Floats, Mesh
from mfas.simulation.heads import NEUTRAL, Head
from mfas.simulation.scene import Part
from mfas.simulation.species._corneas import corneas
from mfas.simulation.species._material import infrared, painted
from mfas.simulation.species._spectacles import put, survey
from mfas.simulation.species._worn import victim_head
from mfas.simulation.stage import Moment, Prop, Stage, box_corners, torso


@dataclass(frozen=True, slots=True)
class FakeHeadProp:
    """A painted head on a stand or in clothes."""

    stage: Stage
    head: Head
    texture: Floats
    face_mm: float
    dressed: bool
    exponent: float
    glass_eyes: tuple[Part, ...] = ()

    def parts(self, moment: Moment) -> Sequence[Part]:
        """The head, and a body where it has one."""
        placed: Mesh = moment.put(self.head.mesh)
        out = [Part("mannequin", placed, self.texture, exponent=self.exponent), *put(self.glass_eyes, moment)]
        return [*out, torso(self.stage, moment, self.stage.presenter)] if self.dressed else out

    def face_points(self, moment: Moment) -> Floats:
        """Corners of its face."""
        return box_corners(self.head.face_box, moment)


class FakeHead:
    """Full relief, paint instead of skin; nothing moves, neither lids nor gaze.

    Quality 0: a shop-window dummy: one flat colour that misses the victim's, coarse features, gloss, pigments far from
    skin in infrared, on a bare stand. Quality 1: a wax figure: fine paint, matt, near skin's level in infrared,
    dressed. At any quality the paint is even and what is dark to the eye shows little in infrared.
    """

    name = "fake_head"

    def prepare(self, stage: Stage) -> Prop:
        """Paint a mannequin after the victim."""
        rng = stage.rng("paint")
        careless = 1 - stage.quality
        head = victim_head(stage)
        texture = painted(head, rng, mottling=0.3 * stage.quality, blur=0.6 + 2.0 * careless,
                          cast=0.04 + 0.15 * careless, choose=stage.choose)  # fmt: skip
        # paint that is dark to the eye seldom is in infrared: brows, eyes and hair fade unless the maker was careful
        texture[..., 3] = infrared(head, rng, unlike=0.3 + 0.7 * careless, shown=rng.uniform(0, 0.15) +
                                   0.25 * stage.quality, choose=stage.choose)  # fmt: skip
        texture[..., 4] = stage.choose("gloss", 0.12 + rng.uniform(0.1, 0.35) * careless)
        dressed = bool(rng.random() < 0.4 + 0.6 * stage.quality)
        # wax figures have eyes of glass, dummies painted ones
        eyes = corneas(survey(head), NEUTRAL) if rng.random() < stage.quality else ()
        return FakeHeadProp(
            stage, head, texture, head.face_box[1] - head.face_box[3], dressed, 18 + 40 * careless, eyes
        )
