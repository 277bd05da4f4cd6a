"""A scanned head from a GLB file and its albedo picture."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import cv2
import numpy as np

from mfas.errors import ImageError, InputError
from mfas.simulation.geometry import Floats, Mesh
from mfas.simulation.heads.base import NEUTRAL, FaceState, Head

_TYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_WIDTH = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}


def load_glb(path: Path) -> Mesh:
    """Read the first primitive of a binary glTF 2.0 file, in the file's own unit and +y up.

    Texture rows grow as ``(1 - v) * height`` does in the file; the returned ``v`` grows downwards. Raises `InputError`
    for a file that is not GLB or has no positions and texture coordinates.
    """
    try:
        content = path.read_bytes()
    except OSError:
        raise InputError(f"expected a GLB file, found none at {path}") from None
    if len(content) < 20 or content[:4] != b"glTF":
        raise InputError(f"expected a binary glTF file, got something else at {path}")
    try:
        return _first_primitive(content, path)
    except (ValueError, LookupError, TypeError, AttributeError, struct.error):
        raise InputError(f"expected a binary glTF file with one mesh inside, got a damaged one at {path}") from None


def _first_primitive(content: bytes, path: Path) -> Mesh:
    length = struct.unpack_from("<I", content, 12)[0]
    head = json.loads(content[20 : 20 + length])
    binary = content[20 + length + 8 :]
    primitive = head["meshes"][0]["primitives"][0]
    names = primitive["attributes"]
    if "POSITION" not in names or "TEXCOORD_0" not in names or "indices" not in primitive:
        raise InputError(f"expected positions, texture coordinates and indices in {path}")
    vertices = _accessor(head, binary, names["POSITION"]).astype(np.float32)
    uv = _accessor(head, binary, names["TEXCOORD_0"]).astype(np.float32)
    faces = _accessor(head, binary, primitive["indices"]).reshape(-1, 3).astype(np.int32)
    return Mesh(vertices, faces, np.stack([uv[:, 0], 1 - uv[:, 1]], -1))


def _accessor(head: dict[str, object], binary: bytes, index: int) -> Floats:
    accessors, views = head["accessors"], head["bufferViews"]
    assert isinstance(accessors, list)
    assert isinstance(views, list)
    accessor = accessors[index]
    view = views[accessor["bufferView"]]
    kind, width = _TYPES[accessor["componentType"]], _WIDTH[accessor["type"]]
    start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    item = np.dtype(kind).itemsize * width
    stride = view.get("byteStride") or item
    rows = np.ndarray((accessor["count"], item), np.uint8, binary, start, (stride, 1))
    flat = np.ascontiguousarray(rows).view(kind)
    return np.asarray(flat if width > 1 else flat.ravel())


class ScannedHead:
    """One real head from ``mesh`` (GLB, +y up, face to +z) and ``albedo`` (an sRGB picture), scaled to ``height_mm``.

    It is one person whatever the subject; it neither speaks nor blinks. Near-infrared albedo is derived from the red
    channel: skin is lifted to ``nir``, dark hair stays dark.
    """

    name = "scanned"
    serves_attacks = False
    varied = False

    def __init__(self, mesh: Path, albedo: Path, *, height_mm: float = 330.0, nir: float = 0.55) -> None:
        raw = load_glb(mesh)
        low, high = raw.vertices.min(axis=0), raw.vertices.max(axis=0)
        scale = height_mm / float(high[1] - low[1])
        centre = np.array([(low[0] + high[0]) / 2, high[1] - 118 / scale, (low[2] + high[2]) / 2], np.float32)
        vertices = ((raw.vertices - centre) * scale).astype(np.float32)
        self._mesh = Mesh(vertices, raw.faces, raw.uv)
        self._texture = _texture(albedo, nir)
        self._neck = np.clip((vertices[:, 1] + 205) / 85, 0, 1).astype(np.float32)

    def head(self, subject: str, state: FaceState = NEUTRAL, *, tone: int | None = None) -> Head:
        """The scanned person; ``subject``, ``state`` and ``tone`` change nothing."""
        del subject, state, tone
        return Head(self._mesh, self._texture, {}, (-68.0, 68.0, 68.0, -116.0), self._neck)

    def cast(self, subject: str, state: FaceState = NEUTRAL, *, tone: int | None = None) -> Head:
        """Raises `InputError`: a scan does not know where its eyes and mouth are."""
        del subject, state, tone
        raise InputError(f"expected a head source that serves attacks, got the {self.name} head")


def _texture(path: Path, nir: float) -> Floats:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ImageError(f"expected an albedo picture, found none at {path}")
    picture = cv2.resize(picture, (512, 512), interpolation=cv2.INTER_AREA)[..., ::-1]
    rgb = (picture.astype(np.float32) / 255) ** 2.2
    red = cv2.GaussianBlur(np.ascontiguousarray(rgb[..., 0]), (0, 0), 1.5)
    skin = float(np.percentile(red, 70))
    infrared = np.clip(nir * (red / max(skin, 1e-3)) ** 0.4, 0.05, 0.8)
    matt = np.full_like(infrared, 0.06)
    return np.dstack([rgb, infrared, matt, np.ones_like(matt)]).astype(np.float32)
