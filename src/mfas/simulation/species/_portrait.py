"""The picture of the victim that an attacker printed or plays: a bona fide rendering with a camera of its own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from mfas.simulation.geometry import Floats, rotation
from mfas.simulation.heads import FaceState, HeadSource
from mfas.simulation.raster import Camera
from mfas.simulation.scene import render
from mfas.simulation.sensors import RgbCamera
from mfas.simulation.species.live import Live
from mfas.simulation.stage import Moment, Stage
from mfas.simulation.surroundings import backdrop, draw_light, scenery_of

SIZE = 288


@dataclass(frozen=True, slots=True)
class Portrait:
    """A picture as linear RGB (SIZE, SIZE, 3); ``box`` of the face in texture coordinates (u0, v0, u1, v1).

    ``face_mm`` is the height of the face in life, ``masks`` (SIZE, SIZE) tell eyes, mouth, nose where known.
    """

    rgb: Floats
    box: tuple[float, float, float, float]
    face_mm: float
    masks: Mapping[str, Floats]

    def cropped(self, aspect: float) -> tuple[slice, slice]:
        """Rows and columns of the middle part with ``aspect`` = width / height."""
        if aspect >= 1:
            side = int(SIZE / aspect) // 2
            middle = int((self.box[1] + self.box[3]) / 2 * SIZE)
            start = min(max(0, middle - side), SIZE - 2 * side)
            return slice(start, start + 2 * side), slice(0, SIZE)
        side = int(SIZE * aspect) // 2
        return slice(0, SIZE), slice(SIZE // 2 - side, SIZE // 2 + side)


_RECENT: OrderedDict[tuple[object, ...], tuple[HeadSource, Portrait]] = OrderedDict()


def portrait(stage: Stage, fraction: float = 0.5) -> Portrait:
    """Photograph the victim: own light, own background, a sharp camera, face height ``fraction`` of the picture.

    The last few are kept: who tries ways of showing one picture does not take it again each time.
    """
    place = stage.site.light, stage.site.background
    key = (stage.seed, place, stage.subject, stage.tone, id(stage.source), fraction)
    if key not in _RECENT:
        _RECENT[key] = stage.source, _photographed(stage, fraction)
        while len(_RECENT) > 4:
            _RECENT.popitem(last=False)
    return _RECENT[key][1]


def _photographed(stage: Stage, fraction: float) -> Portrait:
    rng = stage.rng("portrait")
    prop = Live().prepare(stage)
    distance = rng.uniform(600, 1100)
    turn = rotation(rng.normal(0, 6), rng.normal(0, 4), rng.normal(0, 2))
    expression = np.clip(rng.normal(0, 0.25, 8), 0, 0.8).astype(np.float32)
    moment = Moment(turn, (0.0, 0.0, distance), FaceState(expression, lids=1.0))
    focal = fraction * SIZE * distance / prop.face_mm
    middle = prop.face_points(moment).mean(axis=0)
    camera = Camera(focal, SIZE / 2 - focal * middle[0] / middle[2], SIZE / 2 - focal * middle[1] / middle[2], SIZE)
    depth = distance + rng.uniform(400, 2000)
    wall = backdrop(scenery_of(stage.site, rng), behind_mm=depth, across_mm=2.4 * SIZE / focal * depth)
    parts = [*prop.parts(moment), wall]
    view = render(parts, camera, draw_light(stage.site, rng), supersample=1)
    picture = _CAMERA.expose(view.rgb, rng, rng)
    linear = (picture.astype(np.float32) / 255) ** 2.2
    corners = camera.project(prop.face_points(moment)) / SIZE
    box = (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
    head = stage.source.head(stage.subject, tone=stage.tone)
    on_head = (view.part == 0).astype(np.float32)
    u = (view.uv[..., 0] * head.texture.shape[1]).astype(np.float32)
    v = (view.uv[..., 1] * head.texture.shape[0]).astype(np.float32)
    masks = {name: cv2.remap(mask, u, v, cv2.INTER_LINEAR) * on_head for name, mask in head.regions.items()}
    linear.setflags(write=False)
    return Portrait(linear, (box[0], box[1], box[2], box[3]), prop.face_mm, masks)


_CAMERA = RgbCamera(
    exposure=(0.2, 0.3), exposure_error=0.1, blur_px=(0.3, 0.5), motion_px=(0.0, 0.0), photons=20000.0, jpeg=(90, 97),
    vignette=0.05,
)  # fmt: skip

__all__ = ["SIZE", "Portrait", "portrait"]
