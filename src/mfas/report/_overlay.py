"""A map of evidence over the picture it belongs to."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image

from mfas.core import Modality
from mfas.report import _svg
from mfas.report._images import jpeg_uri, picture

SIDE = 260
_STRONGEST = 0.8
"""Opacity of the strongest cell: what lies under it can still be seen."""


def overlay_uri(
    source: bytes, modality: Modality, cells: NDArray[np.float32], *, signed: bool = True, side: int = SIDE
) -> str:
    """A JPEG data URI of ``source`` in grey under ``cells`` ``[h, w]``, strongest cell = strongest colour.

    Positive cells have the colour of bona fide, negative ones that of attacks; of a map without sign all cells have a
    third one.
    """
    base = picture(source, modality).convert("L").resize((side, side), Image.Resampling.BICUBIC)
    grey = np.asarray(base, dtype=np.float64)[..., None] * 0.6 + 90  # lightened, so that colours stand out
    top = float(np.abs(cells).max()) or 1.0
    smooth = Image.fromarray((cells / top).astype(np.float32)).resize((side, side), Image.Resampling.BILINEAR)
    weight = np.asarray(smooth, dtype=np.float64)[..., None]
    up, down = (np.array(to_rgb(colour)) * 255 for colour in _colours(signed))
    alpha = _STRONGEST * np.abs(weight) ** 0.7
    mixed = (1 - alpha) * grey + alpha * np.where(weight >= 0, up, down)
    return jpeg_uri(Image.fromarray(mixed.clip(0, 255).astype(np.uint8)), 85)


def _colours(signed: bool) -> tuple[str, str]:
    return (_svg.BONA_FIDE, _svg.ATTACK) if signed else (_svg.AFTER[3], _svg.AFTER[3])
