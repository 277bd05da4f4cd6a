"""A living person, with or without something worn on the face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mfas.simulation.geometry import Floats
from mfas.simulation.scene import Part
from mfas.simulation.species._spectacles import put, spectacles
from mfas.simulation.stage import Moment, Prop, Stage, box_corners, head_part, torso


@dataclass(frozen=True, slots=True)
class LiveProp:
    """``subject`` in person, dressed; ``worn`` are parts in head coordinates that move with the head."""

    stage: Stage
    subject: str
    tone: int
    face_mm: float
    face_box: tuple[float, float, float, float]
    worn: tuple[Part, ...] = ()

    def parts(self, moment: Moment) -> Sequence[Part]:
        """Head, shoulders, and what is worn."""
        head = self.stage.source.head(self.subject, moment.face, tone=self.tone)
        return [head_part(head, moment), torso(self.stage, moment, self.subject), *put(self.worn, moment)]

    def face_points(self, moment: Moment) -> Floats:
        """Corners of the face."""
        return box_corners(self.face_box, moment)


class Live:
    """A bona fide presentation."""

    name = "live"

    def prepare(self, stage: Stage) -> Prop:
        """The subject in person, with the spectacles they own."""
        head = stage.source.head(stage.subject, tone=stage.tone)
        box = head.face_box
        return LiveProp(stage, stage.subject, stage.tone, box[1] - box[3], box, spectacles(head, stage.subject))
