"""Names of CASIA-SURF CeFA and its black borders."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfas.core import Label, Modality
from mfas.data.box import FULL, Box
from mfas.data.importers._stored import check_file
from mfas.data.importers.contract import BrokenError, Frame, Item

CEFA_SPECIES = {
    "cloth": "print_curved",
    "photo": "print_flat",
    "screen": "replay_lcd",
    "3d_mask": "mask_rigid",
    "silicone": "mask_silicone",
}
_PAI = {"1": "", "2": "cloth", "3": "photo", "4": "screen"}
_CLIP = re.compile(r"(?:^|/)(\d)_(\d{3})_(\d)_(\d)_(\d)(?=/|$)")
_MASK = re.compile(r"(?:^|/)(3D-Mask|Silicone-Mask)/(\d{3})/(\d(?:_\d+)+)(?=/|$)")
_RACE = {"1": "AF", "2": "CA", "3": "EA"}
_DARK = 7
_DEFAULT_CROP = 1.3
"""`mfas.card.Preprocess.crop_scale`: a box this much smaller than a region has that region as its crop."""


@dataclass(frozen=True, slots=True)
class CefaName:
    """What a clip's folder says: its person, attack (empty = bona fide), session, and the clip itself."""

    clip: str
    subject: str
    species: str
    session: str

    @property
    def label(self) -> Label:
        """The truth as the folder's name has it."""
        return Label.ATTACK if self.species else Label.BONA_FIDE


def cefa_name(path: str) -> CefaName | None:
    """Read ``.../<race>_<id>_<device>_<session>_<pai>/...`` or a mask's folder; None for another name."""
    mask = _MASK.search(path)
    if mask is not None:
        kind = "3d_mask" if mask[1] == "3D-Mask" else "silicone"
        return CefaName(path[: mask.end()], f"{kind}-{mask[2]}", kind, mask[3])
    clip = _CLIP.search(path)
    if clip is None or clip[1] not in _RACE or clip[5] not in _PAI:
        return None
    return CefaName(path[: clip.end()], f"{_RACE[clip[1]]}-{clip[2]}", _PAI[clip[5]], f"{clip[3]}_{clip[4]}")


def cefa_split(subject: str) -> str | None:
    """Split by the person's number: 0 to 199 train, 200 to 299 validation, 300 to 499 test; masks are test only."""
    kind, _, number = subject.rpartition("-")
    if kind not in _RACE.values():
        return "test"
    value = int(number)
    return "train" if value < 200 else "validation" if value < 300 else "test" if value < 500 else None


def read_bordered(item: Item, depth_kind: str) -> Iterable[Frame]:
    """The three images of an item, with a box whose default crop is the square inside the black border."""
    decoded = {m: check_file(path, m, depth_kind) for m, path in item.files.items()}
    shapes = {m: image.shape[:2] for m, image in decoded.items()}
    if len(set(shapes.values())) > 1:
        told = ", ".join(f"{m} {s[1]} x {s[0]}" for m, s in shapes.items())
        raise BrokenError("shape", f"{item.key}: expected images of one size, got {told}")
    box = border_box(decoded[Modality.RGB]) if Modality.RGB in decoded else FULL
    yield Frame(item.files, item.number, box)


def border_box(image: NDArray[Any]) -> str:
    """The face box of an image ``[H, W, 3]`` with black borders; ``full`` when there are none.

    The region is that of pixels above 7 of 255. Its central square is what the default crop of 1.3 cuts out, so that a
    border never becomes a cue. An image that is black all over is broken.
    """
    bright = image.max(axis=2) > _DARK
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    if not rows.size:
        raise BrokenError("damaged", "expected a face, got an image that is black all over")
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    if (top, left) == (0, 0) and (bottom, right) == image.shape[:2]:
        return FULL
    side = min(bottom - top, right - left) / _DEFAULT_CROP
    return str(Box((left + right - side) / 2, (top + bottom - side) / 2, side, side))
