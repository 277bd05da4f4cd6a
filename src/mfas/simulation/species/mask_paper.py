"""A folded paper mask."""

from __future__ import annotations

import cv2
import numpy as np

from mfas.simulation.geometry import Floats, Mesh
from mfas.simulation.heads.template import COLUMNS, ROWS
from mfas.simulation.species._paper import presenter_head, printed
from mfas.simulation.species._spectacles import survey
from mfas.simulation.species._worn import WornProp, holes, over, victim_cast, widened
from mfas.simulation.stage import Prop, Stage

_INNER = 0.93


class MaskPaper:
    """Coarse relief with straight folds, printed texture; the presenter's eyes where it is cut.

    Quality 0: few large facets, well off the face, too large, poor ink. Quality 1: many small facets that follow the
    face at a few millimetres, printed well. At any quality its facets are plane and its rim is a step.
    """

    name = "mask_paper"

    def prepare(self, stage: Stage) -> Prop:
        """Print the victim's unwrapped face and fold it over the presenter's."""
        rng = stage.rng("mask")
        careless = 1 - stage.quality
        victim = victim_cast(stage)
        smooth = over(stage, victim, enlarge=1.0 + 0.06 * careless, gap_mm=3.0 + 4.0 * careless)
        mesh = Mesh(_facets(smooth.vertices, round(4 + 4 * careless)), smooth.faces, smooth.uv)
        mesh = widened(stage, mesh, _INNER)
        texture = printed(victim.texture[..., :3] * 0.8, stage)
        alpha = holes(victim, ("eyes",) if rng.random() < 0.6 else (), 0.8)
        texture[..., 5] = alpha * victim.regions["face"]
        return WornProp(stage, victim, mesh, texture, victim.face_box[1] - victim.face_box[3], 30.0, 0.0, 0.0, _INNER,
                        eyes=survey(presenter_head(stage)))  # fmt: skip


def _facets(vertices: Floats, cells: int) -> Floats:
    """Replace a head's surface by plane facets: keep every n-th vertex, straight lines between."""
    grid = vertices.reshape(ROWS, COLUMNS, 3)
    coarse = cv2.GaussianBlur(grid, (0, 0), 2.0)[::cells, ::cells]
    fine = cv2.resize(coarse, (COLUMNS, ROWS), interpolation=cv2.INTER_LINEAR)
    out = np.where(np.abs(grid[..., :1]) < 200, fine, grid).astype(np.float32)
    out[..., 1] = grid[..., 1] * 0.7 + out[..., 1] * 0.3
    return out.reshape(-1, 3)
