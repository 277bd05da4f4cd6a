"""A living person, with or without something worn on the face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mfas.simulation.geometry import Floats
from mfas.simulation.scene import Part
from mfas.simulation.species._corneas import corneas
from mfas.simulation.species._spectacles import Face, put, spectacles, survey
from mfas.simulation.stage import Moment, Prop, Stage, box_corners, head_part, torso


@dataclass(frozen=True, slots=True)
class LiveProp:
    """``subject`` in person, dressed; ``worn`` are parts in head coordinates that move with the head.

    ``eyes`` tells where corneas shine.
    """

    stage: Stage
    subject: str
    tone: int
    face_mm: float
    face_box: tuple[float, float, float, float]
    eyes: Face | None
    worn: tuple[Part, ...] = ()

    def parts(self, moment: Moment) -> Sequence[Part]:
        """Head, shoulders, and what is worn."""
        head = self.stage.source.head(self.subject, moment.face, tone=self.tone)
        shining = corneas(self.eyes, moment.face)
        body = torso(self.stage, moment, self.subject)
        return [head_part(head, moment), body, *put(self.worn, moment), *put(shining, moment)]

    def face_points(self, moment: Moment) -> Floats:
        """Corners of the face."""
        return box_corners(self.face_box, moment)


def in_person(stage: Stage, subject: str, tone: int, worn: tuple[Part, ...]) -> LiveProp:
    """``subject`` as they are, with ``worn`` on."""
    head = stage.source.head(subject, tone=tone)
    box = head.face_box
    return LiveProp(stage, subject, tone, box[1] - box[3], box, survey(head), worn)


class Live:
    """A bona fide presentation."""

    name = "live"

    def prepare(self, stage: Stage) -> Prop:
        """The subject in person, with the spectacles they own."""
        head = stage.source.head(stage.subject, tone=stage.tone)
        return in_person(stage, stage.subject, stage.tone, spectacles(head, stage.subject))
