"""Arrays of PADISI-Face: ``[1, 22, H, W]`` floats in [0, 1]; planes 0-2 BGR, 3 near infrared, 4 depth."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfas.core import Modality
from mfas.data.importers._stored import BrokenError

PADISI_SPECIES = {
    f"m5{code:02d}{species:02d}": ours
    for code, ours in enumerate(
        (
            "glasses",
            "print_flat",
            "fake_head",
            "mask_rigid",
            "mask_rigid",
            "makeup",
            "mask_silicone",
            "glasses",
            "makeup",
        ),
        start=1,
    )
    for species in range(1, 100)
}
"""By the code's first two digits, as the set's published descriptions of samples show them: 01 glasses with printed or
plastic eyes, 02 photographs, 03 heads, 04 and 05 hard masks, 06 make-up, 07 silicone masks, 08 paper glasses, 09
tattoos."""
PLANES = 22
BONA_FIDE = "m00000"


def trial_of(path: Path) -> str:
    """The trial id of ``ID_<transaction>_<trial>_<name>.npz``, or of ``<trial>.npz``."""
    parts = path.stem.split("_")
    return parts[2] if parts[0] == "ID" and len(parts) > 3 else path.stem


def read_planes(path: Path) -> dict[Modality, NDArray[Any]]:
    """RGB uint8 ``[H, W, 3]``, depth and infrared uint16 ``[H, W]`` (value x 65,535). Raises `BrokenError`."""
    if not path.is_file():
        raise BrokenError("missing", f"array not found: {path}")
    try:
        loaded = np.load(path, allow_pickle=False)
        array = loaded["data"] if isinstance(loaded, np.lib.npyio.NpzFile) else loaded
    except KeyError:
        raise BrokenError("shape", f"{path}: expected an array 'data', got {', '.join(loaded.files)}") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as reason:
        raise BrokenError("damaged", f"{path}: not a readable NumPy file ({str(reason).splitlines()[0]})") from None
    if array.ndim != 4 or array.shape[:2] != (1, PLANES) or array.dtype.kind != "f":
        raise BrokenError("shape", f"{path}: expected floats (1, {PLANES}, H, W), got {array.dtype} {array.shape}")
    planes = array[0, :5].astype(np.float32)
    if not np.isfinite(planes).all() or planes.min() < 0 or planes.max() > 1:
        raise BrokenError("shape", f"{path}: expected values from 0 to 1, got {planes.min():g} to {planes.max():g}")
    return {
        Modality.RGB: np.ascontiguousarray((planes[2::-1] * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)),
        Modality.DEPTH: (planes[4] * 65535 + 0.5).astype(np.uint16),
        Modality.IR: (planes[3] * 65535 + 0.5).astype(np.uint16),
    }
