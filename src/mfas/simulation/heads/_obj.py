"""A small reader of Wavefront OBJ files: positions and polygons, nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mfas.errors import InputError
from mfas.simulation.geometry import Floats, Ints

_LARGEST = 16 * 2**20


def read_positions(path: Path) -> Floats:
    """Vertices (V, 3) float32 of the ``v`` lines, in file order and the file's own unit."""
    rows = [line[2:] for line in _lines(path) if line.startswith(b"v ")]
    try:
        flat = np.array(b" ".join(rows).split(), np.float32)
    except ValueError:
        raise InputError(f"expected numbers in the v lines of {path}, got something else") from None
    if not rows or len(flat) != 3 * len(rows):
        raise InputError(f"expected three numbers in every v line of {path}, got {len(flat)} in {len(rows)} lines")
    return flat.reshape(-1, 3)


def read_polygons(path: Path) -> Ints:
    """Triangles and quads (F, 4) of the ``f`` lines, from 0; -1 in the last column marks a triangle."""
    out = []
    for line in _lines(path):
        if not line.startswith(b"f "):
            continue
        try:
            corners = [int(word.split(b"/", 1)[0]) - 1 for word in line.split()[1:]]
        except ValueError:
            raise InputError(f"expected vertex numbers in the f lines of {path}, got {_shown(line)}") from None
        if len(corners) not in (3, 4) or min(corners) < 0 or max(corners) >= 2**31:
            raise InputError(f"expected triangles or quads counted from 1 in {path}, got {_shown(line)}")
        out.append([*corners, -1][:4])
    if not out:
        raise InputError(f"expected faces in {path}, found none")
    return np.array(out, np.int32)


def _lines(path: Path) -> list[bytes]:
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(f"expected an OBJ file of at most {_LARGEST >> 20} MiB, got a larger one at {path}")
        return path.read_bytes().splitlines()
    except OSError:
        raise InputError(f"expected an OBJ file, found none at {path}") from None


def _shown(line: bytes) -> str:
    return repr(line[:60].decode("ascii", "replace").strip())
