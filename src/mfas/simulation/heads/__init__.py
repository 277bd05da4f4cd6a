"""Where heads come from: a built-in parametric one, and scanned ones."""

from mfas.simulation.heads.base import EXPRESSIONS, NEUTRAL, FaceState, Head, HeadSource
from mfas.simulation.heads.parametric import ParametricHead
from mfas.simulation.heads.scanned import ScannedHead

__all__ = ["EXPRESSIONS", "NEUTRAL", "FaceState", "Head", "HeadSource", "ParametricHead", "ScannedHead"]
