"""A head source from what the user has on disk."""

from __future__ import annotations

from pathlib import Path

from mfas.errors import InputError
from mfas.simulation.heads.base import HeadSource
from mfas.simulation.heads.ict import IctHead
from mfas.simulation.heads.scanned import ScannedHead


def open_head(path: Path, picture: Path | None = None) -> HeadSource:
    """People from ``path``: a ``.glb`` scan, an ``.npz`` or a folder of the ICT face model.

    ``picture`` is the albedo of a scan; by default it lies beside it as ``NAME.jpg`` or ``color.jpg``.
    Raises `InputError` for anything else, and for a file or folder that is not what it seems.
    """
    kind = "folder" if path.is_dir() else path.suffix.lower() if path.is_file() else "none"
    if kind in (".npz", "folder"):
        if picture is not None:
            raise InputError(f"expected no head_texture with the ICT face model, which is painted here, got {picture}")
        return IctHead(path)
    if kind == ".glb":
        return ScannedHead(path, picture or _beside(path))
    found = {"none": "found none", "": "got a file without an ending"}.get(kind, f"got a {kind} file")
    raise InputError(f"expected a .glb scan, or the ICT face model as .npz or folder of OBJ files, {found} at {path}")


def _beside(path: Path) -> Path:
    for beside in (path.with_suffix(".jpg"), path.with_name("color.jpg")):
        if beside.is_file():
            return beside
    raise InputError(
        f"expected the head's picture as {path.stem}.jpg or color.jpg beside {path}, "
        "found none; name it with --set head_texture=FILE"
    )
