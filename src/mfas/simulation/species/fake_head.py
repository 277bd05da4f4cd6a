"""A mannequin's head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mfas.simulation.geometry import Floats, Mesh
from mfas.simulation.heads import Head
from mfas.simulation.scene import Part
from mfas.simulation.species._worn import nir_detail, victim_head
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

    def parts(self, moment: Moment) -> Sequence[Part]:
        """The head, and a body where it has one."""
        placed: Mesh = moment.put(self.head.mesh)
        out = [Part("mannequin", placed, self.texture, exponent=self.exponent)]
        return [*out, torso(self.stage, moment, self.stage.presenter)] if self.dressed else out

    def face_points(self, moment: Moment) -> Floats:
        """Corners of its face."""
        return box_corners(self.head.face_box, moment)


class FakeHead:
    """Full relief, paint instead of skin; eyes that never move."""

    name = "fake_head"

    def prepare(self, stage: Stage) -> Prop:
        """Paint a mannequin after the victim."""
        rng = stage.rng("paint")
        head = victim_head(stage)
        texture = head.texture.copy()
        texture[..., :3] = cv2.GaussianBlur(texture[..., :3], (0, 0), 0.5 + 1.8 * (1 - stage.quality))
        texture[..., :3] *= np.exp(0.12 * rng.standard_normal(3)).astype(np.float32)
        detail = nir_detail(head)
        level = rng.uniform(0.25, 0.85)
        # paint that is dark to the eye seldom is in infrared: brows, eyes and hair fade unless the maker was careful
        shown = rng.uniform(0.0, 0.25 + 0.35 * stage.quality)
        texture[..., 3] = np.clip(level * (1 + shown * (detail - 1)), 0.05, 0.9)
        texture[..., 4] = rng.uniform(0.08, 0.4)
        return FakeHeadProp(stage, head, np.clip(texture, 0, 1), head.face_box[1] - head.face_box[3],
                            bool(rng.random() < 0.7), rng.uniform(12, 40))  # fmt: skip
