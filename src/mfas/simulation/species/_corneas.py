"""The wet, curved front of living eyes: a point of light from every lamp, the infrared emitter included."""

from __future__ import annotations

import numpy as np

from mfas.simulation.geometry import Mesh, grid_faces
from mfas.simulation.heads import FaceState
from mfas.simulation.scene import Part
from mfas.simulation.species._spectacles import Face, merge
from mfas.simulation.stage import plain

_RADIUS_MM, _EDGE_MM = 7.8, 5.6
_WET = plain((0.0, 0.0, 0.0), 0.0, 2.0)


def corneas(face: Face | None, state: FaceState) -> tuple[Part, ...]:
    """Both corneas in head coordinates, turned with the gaze; none where the source knows no eyes or they are shut."""
    if face is None or state.lids < 0.4:
        return ()
    radius, angle = np.meshgrid(np.linspace(0.01, _EDGE_MM, 5), np.linspace(0, 2 * np.pi, 13), indexing="ij")
    x, y, r = (a.ravel() for a in (radius * np.cos(angle), radius * np.sin(angle), radius))
    bulge = np.sqrt(_RADIUS_MM**2 - r**2) - _RADIUS_MM
    faces, uv = grid_faces(*radius.shape), np.full((len(r), 2), 0.5, np.float32)
    look = np.array([state.gaze[0] * 4.0, state.gaze[1] * 2.0 + 0.4], np.float32)
    caps = []
    for eye in face.irises:
        at = eye[:2] + look
        z = eye[2] + 1.2 + bulge
        caps.append(Mesh(np.column_stack([x + at[0], y + at[1], z]).astype(np.float32), faces, uv))
    return (Part("corneas", merge(caps), _WET, two_sided=True, exponent=70.0, glass=1.0),)
