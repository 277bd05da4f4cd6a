"""Where heads come from: a built-in parametric one, a statistical face model, and scans."""

from mfas.simulation.heads.base import EXPRESSIONS, NEUTRAL, FaceState, Head, HeadSource
from mfas.simulation.heads.ict import IctHead
from mfas.simulation.heads.opening import open_head
from mfas.simulation.heads.parametric import ParametricHead
from mfas.simulation.heads.scanned import ScannedHead

__all__ = [
    "EXPRESSIONS",
    "NEUTRAL",
    "FaceState",
    "Head",
    "HeadSource",
    "IctHead",
    "ParametricHead",
    "ScannedHead",
    "open_head",
]
