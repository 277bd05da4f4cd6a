"""A living person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mfas.simulation.geometry import Floats
from mfas.simulation.heads import FaceState, Head
from mfas.simulation.scene import Part
from mfas.simulation.species._spectacles import put, spectacles
from mfas.simulation.stage import Moment, Prop, Stage, box_corners, head_part, torso


@dataclass(frozen=True, slots=True)
class LiveProp:
    """The subject, dressed, with the spectacles they own."""

    stage: Stage
    face_mm: float
    face_box: tuple[float, float, float, float]
    worn: tuple[Part, ...] = ()

    def head(self, face: FaceState) -> Head:
        """The subject's head with that face."""
        return self.stage.source.head(self.stage.subject, face, tone=self.stage.tone)

    def parts(self, moment: Moment) -> Sequence[Part]:
        """Head, shoulders, spectacles."""
        head = head_part(self.head(moment.face), moment)
        return [head, torso(self.stage, moment, self.stage.subject), *put(self.worn, moment)]

    def face_points(self, moment: Moment) -> Floats:
        """Corners of the face."""
        return box_corners(self.face_box, moment)


class Live:
    """A bona fide presentation."""

    name = "live"

    def prepare(self, stage: Stage) -> Prop:
        """The subject in person."""
        head = stage.source.head(stage.subject, tone=stage.tone)
        box = head.face_box
        return LiveProp(stage, box[1] - box[3], box, spectacles(head, stage.subject))
