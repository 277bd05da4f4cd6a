"""Images of an import: native files looked at once, arrays written as PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mfas._files import atomic_path
from mfas.core import Modality
from mfas.data.images import read_header, read_ir, read_raw_depth, read_rgb
from mfas.errors import ImageError


class BrokenError(Exception):
    """Raised while reading an item: it becomes a `Skip` of that kind, the rest goes on."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def check_file(path: Path, modality: Modality, depth_kind: str) -> NDArray[Any]:
    """Decode a native image as what it is said to be. Raises `BrokenError` of kind missing, damaged or shape."""
    if not path.is_file():
        raise BrokenError("missing", f"{modality} image not found: {path}")
    try:
        header = read_header(path, whole=True)
    except ImageError as reason:
        raise BrokenError("damaged", str(reason)) from None
    allowed = (3,) if modality is Modality.RGB else (1, 3)
    if header.channels not in allowed:
        want = " or ".join(map(str, allowed))
        raise BrokenError("shape", f"{path}: expected {want} channels for {modality}, got {header.channels}")
    try:
        if modality is Modality.RGB:
            return read_rgb(path)
        return read_ir(path) if modality is Modality.IR else read_raw_depth(path, depth_kind)
    except ImageError as reason:
        raise BrokenError("shape" if "colour image" in str(reason) else "damaged", str(reason)) from None


def write_png(path: Path, image: NDArray[Any]) -> None:
    """Write uint8 RGB ``[H, W, 3]`` or uint8 / uint16 grey ``[H, W]``, whole or not at all."""
    stored = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    done, data = cv2.imencode(".png", np.ascontiguousarray(stored))
    if not done:
        raise OSError(f"cannot encode {path}")
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())
