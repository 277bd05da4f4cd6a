"""A flexible full-head mask: the hard one."""

from __future__ import annotations

import cv2
import numpy as np

from mfas.simulation.species._worn import WornProp, holes, nir_detail, over, victim_head
from mfas.simulation.stage import Prop, Stage


class MaskSilicone:
    """Full relief, thick, with the presenter's own eyes; near skin in every modality, with less texture."""

    name = "mask_silicone"

    def prepare(self, stage: Stage) -> Prop:
        """Cast a mask of the victim in silicone."""
        rng = stage.rng("mask")
        victim = victim_head(stage)
        mesh = over(stage, victim, enlarge=rng.uniform(1.01, 1.05), gap_mm=rng.uniform(3, 6))
        texture = victim.texture.copy()
        sigma = 0.5 + 2.2 * (1 - stage.quality)
        texture[..., :4] = cv2.GaussianBlur(texture[..., :4], (0, 0), sigma)
        shift = np.exp(0.07 * (0.4 + 1 - stage.quality) * rng.standard_normal(3)).astype(np.float32)
        texture[..., :3] = np.clip(texture[..., :3] * shift, 0, 0.9)
        skin = victim.regions["face"]
        level = rng.uniform(0.4, 0.7)
        flat = level * (0.75 + 0.25 * cv2.GaussianBlur(nir_detail(victim), (0, 0), sigma))
        texture[..., 3] += skin * (flat - texture[..., 3])
        texture[..., 4] = np.maximum(texture[..., 4], rng.uniform(0.1, 0.3))
        texture[..., 5] = holes(victim, ("eyes",), 0.8)
        return WornProp(stage, victim, mesh, texture, victim.face_box[1] - victim.face_box[3], 14.0, 0.45,
                        rng.uniform(0.15, 0.45), 0.95, True)  # fmt: skip
