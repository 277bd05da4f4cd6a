"""A rigid mask of resin or plastic."""

from __future__ import annotations

import cv2
import numpy as np

from mfas.simulation.species._worn import WornProp, holes, nir_detail, over, victim_head
from mfas.simulation.stage import Prop, Stage


class MaskRigid:
    """Another person's relief, slightly enlarged, without expression; painted; infrared unlike skin unless careful."""

    name = "mask_rigid"

    def prepare(self, stage: Stage) -> Prop:
        """Cast and paint a mask of the victim."""
        rng = stage.rng("mask")
        victim = victim_head(stage)
        mesh = over(stage, victim, enlarge=rng.uniform(1.02, 1.07), gap_mm=4.0)
        texture = victim.texture.copy()
        soft = cv2.GaussianBlur(texture[..., :3], (0, 0), 0.6 + 2.0 * (1 - stage.quality))
        paint = np.exp(0.12 * (0.4 + 1 - stage.quality) * rng.standard_normal(3)).astype(np.float32)
        texture[..., :3] = np.clip(soft * paint, 0, 0.9)
        skin_like = stage.quality > 0.6
        level = rng.uniform(0.42, 0.66) if skin_like else rng.uniform(0.2, 0.9)
        detail = nir_detail(victim)
        shown = rng.uniform(0.0, 0.25 + 0.4 * stage.quality)
        texture[..., 3] = np.clip(level * (1 + shown * (detail - 1)), 0.05, 0.9)
        texture[..., 4] = rng.uniform(0.08, 0.4)
        alpha = holes(victim, ("eyes",) if rng.random() < 0.6 else (), 0.75)
        texture[..., 5] = alpha * victim.regions["face"]
        return WornProp(stage, victim, mesh, texture, victim.face_box[1] - victim.face_box[3], rng.uniform(15, 45),
                        0.05, 0.0, 0.93)  # fmt: skip
