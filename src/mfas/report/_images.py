"""Captures as small inline pictures."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mfas.core import Modality
from mfas.errors import ImageError

SIDE = 112
_BLURRED = 12
_HOLE = np.array([236, 236, 240], dtype=np.uint8)


def data_uri(source: bytes | Path, modality: Modality, side: int = SIDE, *, blurred: bool = False) -> str:
    """A JPEG data URI of at most ``side`` pixels a side: depth coloured, IR stretched. `ImageError` if unreadable.

    ``blurred``: only a dozen pixels are left across, so that nobody can be known again.
    """
    shown = picture(source, modality)
    if blurred:
        shown.thumbnail((_BLURRED, _BLURRED), Image.Resampling.BOX)
        scale = side / max(shown.size)
        shown = shown.resize((round(shown.width * scale), round(shown.height * scale)))
    shown.thumbnail((side, side), Image.Resampling.LANCZOS)
    return jpeg_uri(shown, 82)


def picture(source: bytes | Path, modality: Modality) -> Image.Image:
    """An RGB image of what ``source`` shows: depth coloured, IR stretched. `ImageError` if unreadable."""
    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as opened:
            return _colour(opened, modality)
    except (OSError, UnidentifiedImageError, SyntaxError):
        name = "bytes" if isinstance(source, bytes) else str(source)
        raise ImageError(f"expected an image of modality {modality} for the report, could not read {name}") from None


def jpeg_uri(shown: Image.Image, quality: int) -> str:
    """An RGB image as a JPEG data URI."""
    buffer = BytesIO()
    shown.save(buffer, format="JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _colour(picture: Image.Image, modality: Modality) -> Image.Image:
    if modality is Modality.RGB or picture.mode in ("RGB", "RGBA", "P"):
        return picture.convert("RGB")
    values = np.asarray(picture, dtype=np.float64)
    if modality is Modality.IR:
        top = float(np.percentile(values, 99.5)) or 1.0
        return Image.fromarray((np.clip(values / top, 0, 1) * 255).astype(np.uint8)).convert("RGB")
    return Image.fromarray(_depth(values, near_is_small=picture.mode not in ("L", "1")))


def _depth(values: NDArray[np.float64], *, near_is_small: bool) -> NDArray[np.uint8]:
    valid = values > 0
    if not valid.any():
        return np.broadcast_to(_HOLE, (*values.shape, 3)).copy()
    if near_is_small:
        # The face is the nearest large thing: a window around it shows its relief, the background goes dark.
        near = float(np.percentile(values[valid], 2))
        middle = float(np.percentile(values[valid], 40))
        far = max(middle + 0.6 * (middle - near), near * 1.02 + 1e-9)
    else:
        far, near = np.percentile(values[valid], [1, 99])
    scaled = np.clip((values - far) / (near - far), 0, 1) if near != far else np.zeros_like(values)
    coloured = (colormaps["viridis"](scaled)[..., :3] * 255).astype(np.uint8)
    return np.where(valid[..., None], coloured, _HOLE)
