"""Reading the ICT Face Model Light: from one array file, or from the OBJ files of its own repository."""

from __future__ import annotations

import lzma
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfas.errors import InputError
from mfas.simulation.geometry import Floats, Ints
from mfas.simulation.heads._obj import read_polygons, read_positions

VERTICES = 26_719
_MOST_MODES, _MOST_SHAPES, _MOST_FACES = 200, 200, 60_000
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, tokenize.TokenError, SyntaxError, EOFError, ValueError,
           RuntimeError)  # fmt: skip
"""What zipfile and NumPy raise at bytes that are no arrays; RuntimeError at encrypted ones."""
_NEUTRAL = "generic_neutral_mesh.obj"


@dataclass(frozen=True, slots=True)
class IctModel:
    """As in the files, cm: ``neutral`` (V, 3), ``identity`` (K, V, 3), ``shapes`` by name; ``quads`` (F, 4)."""

    neutral: Floats
    identity: Floats
    shapes: dict[str, Floats]
    quads: Ints


def read_ict(path: Path, wanted: tuple[str, ...]) -> IctModel:
    """The model at ``path``, an ``.npz`` or the folder ``FaceXModel``, with the blend shapes named in ``wanted``.

    Raises `InputError` that names the field or file which is missing, damaged, or not of the expected size.
    """
    model = _from_folder(path, wanted) if path.is_dir() else _from_arrays(path, wanted)
    if int(model.quads.max()) >= VERTICES or int(model.quads[:, :3].min()) < 0 or int(model.quads.min()) < -1:
        raise InputError(f"expected field quads of {path} to hold vertex numbers below {VERTICES}, got others")
    arrays = {"neutral": model.neutral, "identity_delta": model.identity, **model.shapes}
    for name, array in arrays.items():
        # nobody's head is 10 m wide: a limit that also keeps float16 sums finite
        if not bool((np.abs(array) < 1e3).all()):
            raise InputError(f"expected finite positions in centimetres in field {name} of {path}, got others")
    return model


def _from_arrays(path: Path, wanted: tuple[str, ...]) -> IctModel:
    checks: dict[str, Callable[[tuple[int, ...]], bool]] = {
        "neutral": lambda shape: shape == (VERTICES, 3),
        "identity_delta": lambda shape: len(shape) == 3 and 1 <= shape[0] <= _MOST_MODES and shape[1:] == (VERTICES, 3),
        "expression_delta": lambda shape: (
            len(shape) == 3 and 1 <= shape[0] <= _MOST_SHAPES and shape[1:] == (VERTICES, 3)
        ),
        "expression_names": lambda shape: len(shape) == 1 and 1 <= shape[0] <= _MOST_SHAPES,
        "quads": lambda shape: len(shape) == 2 and 1 <= shape[0] <= _MOST_FACES and shape[1] == 4,
    }
    kinds = {"neutral": "f", "identity_delta": "f", "expression_delta": "f", "expression_names": "U", "quads": "iu"}
    try:
        with zipfile.ZipFile(path) as archive:
            fields = {name: _field(archive, path, name, kinds[name], check) for name, check in checks.items()}
    except OSError:
        raise InputError(f"expected an ICT face model, found no file that can be read at {path}") from None
    except _DAMAGE:
        raise InputError(f"expected an ICT face model as a NumPy .npz file, got a damaged one at {path}") from None
    names, deltas = [str(name) for name in fields["expression_names"]], fields["expression_delta"]
    if len(names) != len(deltas):
        raise InputError(
            f"expected as many expression_names as expression_delta in {path}, got {len(names)} and {len(deltas)}"
        )
    lost = [name for name in wanted if name not in names]
    if lost:
        raise InputError(f"expected the blend shape {lost[0]} in field expression_names of {path}, found none")
    shapes = {name: deltas[names.index(name)] for name in wanted}
    return IctModel(fields["neutral"], fields["identity_delta"], shapes, fields["quads"].astype(np.int32))


def _field(
    archive: zipfile.ZipFile, path: Path, name: str, kinds: str, fits: Callable[[tuple[int, ...]], bool]
) -> NDArray[Any]:
    """One array, read only after its header promised a plain type and a size that fits."""
    try:
        entry = archive.getinfo(f"{name}.npy")
    except KeyError:
        raise InputError(f"expected field {name} in the ICT face model {path}, found none") from None
    try:
        with archive.open(entry) as stream:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(stream)
        if dtype.kind not in kinds or dtype.itemsize > 256 or not fits(shape):
            raise InputError(f"expected field {name} of {path} as {_LAYOUT[name]}, got {dtype} {shape}")
        if entry.file_size > int(np.prod(shape)) * dtype.itemsize + 4096:
            raise InputError(f"expected field {name} of {path} to end where its header says, got more bytes")
        with archive.open(entry) as stream:
            return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
    except _DAMAGE:
        raise InputError(f"expected field {name} of {path} as {_LAYOUT[name]}, got a damaged one") from None


_LAYOUT = {
    "neutral": f"floats ({VERTICES}, 3)",
    "identity_delta": f"floats (1 to {_MOST_MODES}, {VERTICES}, 3)",
    "expression_delta": f"floats (1 to {_MOST_SHAPES}, {VERTICES}, 3)",
    "expression_names": f"text (1 to {_MOST_SHAPES},)",
    "quads": f"integers (1 to {_MOST_FACES}, 4)",
}


def _from_folder(path: Path, wanted: tuple[str, ...]) -> IctModel:
    folder = path if (path / _NEUTRAL).is_file() else path / "FaceXModel"
    if not (folder / _NEUTRAL).is_file():
        raise InputError(f"expected {_NEUTRAL} of the ICT face model in the folder {path}, found none")
    neutral = _positions(folder / _NEUTRAL)
    modes = sorted(folder.glob("identity[0-9][0-9][0-9].obj"))[:_MOST_MODES]
    if not modes:
        raise InputError(f"expected identity000.obj and its like in the folder {folder}, found none")
    identity = np.stack([(_positions(mode) - neutral).astype(np.float16) for mode in modes])
    shapes = {name: (_positions(folder / f"{name}.obj") - neutral).astype(np.float16) for name in wanted}
    return IctModel(neutral, identity, shapes, read_polygons(folder / _NEUTRAL))


def _positions(path: Path) -> Floats:
    points = read_positions(path)
    if points.shape != (VERTICES, 3):
        raise InputError(f"expected {VERTICES} vertices in {path}, got {len(points)}")
    return points
