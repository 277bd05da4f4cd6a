"""Names of WMCA, and its HDF5 recordings.

``005_03_000_0_01``: client, session, presenter, type, instrument. Types and instruments to species follow the table of
the set's documentation; wigs and make-up are not in its protocols.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfas.core import Label, Modality
from mfas.data.importers._stored import BrokenError

WMCA_SPECIES = {
    "glasses": "glasses",
    "rigid_mask": "mask_rigid",
    "fake_head": "fake_head",
    "paper_mask": "mask_paper",
    "flexible_mask": "mask_silicone",
    "print": "print_flat",
    "replay": "replay_lcd",
    "makeup": "makeup",
}
NAME = re.compile(r"(?<!\d)(\d{3})_(\d{2})_(\d{3})_(\d)_(\d{2})(?!\d)")
_RIGID = {2, 13, 14}
_GLASSES = {1, *range(3, 8), 15, 16}
_PRINTS = {*range(1, 5), *range(6, 10), *range(11, 15)}


@dataclass(frozen=True, slots=True)
class WmcaName:
    """What a recording's name says; ``species`` is empty for bona fide."""

    name: str
    client: str
    session: str
    presenter: str
    species: str

    @property
    def label(self) -> Label:
        """The truth as the name has it."""
        return Label.ATTACK if self.species else Label.BONA_FIDE


def wmca_name(text: str) -> WmcaName | None:
    """The recording that a path or cell names; None when there is none."""
    found = NAME.search(text)
    if found is None:
        return None
    client, session, presenter, kind, pai = found.groups()
    return WmcaName(found[0], client, session, "" if presenter == "000" else presenter, _species(int(kind), int(pai)))


def _species(kind: int, pai: int) -> str:
    """The native name of an attack; one that the table lacks keeps its numbers, so that it is refused by name."""
    if kind == 0:
        return ""
    if kind == 1:
        if pai in _GLASSES:
            return "glasses"
        return "rigid_mask" if pai in _RIGID else "wig" if 8 <= pai <= 12 else f"type_1_{pai:02d}"
    if kind == 2:
        for name, members in (("fake_head", range(1, 8)), ("paper_mask", range(8, 12)), ("rigid_mask", range(12, 18))):
            if pai in members:
                return name
        return "flexible_mask" if pai == 18 or pai >= 75 else f"type_2_{pai:02d}"
    if kind == 3:
        return "print" if pai in _PRINTS else "replay" if pai in (5, 10, 15) else f"type_3_{pai:02d}"
    if kind == 4:
        return "replay"
    return "makeup" if kind == 5 else f"type_{kind}_{pai:02d}"


@dataclass(frozen=True, slots=True)
class Recording:
    """Files of one recording: grey, depth, infrared and thermal (CDIT), and colour; no colour = grey stands for it."""

    cdit: Path
    rgb: Path | None


def find_recordings(root: Path, layouts: Sequence[str]) -> dict[str, Path]:
    """Recordings below the first of ``layouts`` that is a folder, by name."""
    for layout in layouts:
        if (root / layout).is_dir():
            return {path.stem: path for path in sorted((root / layout).rglob("*.hdf5"))}
    return {}


CDIT_FOLDERS = (
    "WMCA_preprocessed_CDIT",
    "WMCA/preprocessed-face-station_CDIT",
    "preprocessed-face-station_CDIT",
)
RGB_FOLDERS = (
    "WMCA_preprocessed_RGB",
    "WMCA/preprocessed-face-station_RGB",
    "preprocessed-face-station_RGB",
)


def read_frames(recording: Recording, wanted: Iterable[int] | None = None) -> Iterator[tuple[int, dict[Modality, Any]]]:
    """The frames ``wanted`` (numbers of ``Frame_N``; None = all), with RGB uint8 ``[H, W, 3]``, depth, IR uint8.

    Raises `BrokenError`: damaged for a file that is no HDF5, missing for a frame, shape for other arrays.
    """
    import h5py

    with _open(h5py, recording.cdit) as cdit:
        if recording.rgb is None:
            yield from (_frame(cdit, None, n, recording) for n in _numbers(cdit, recording.cdit, wanted))
            return
        with _open(h5py, recording.rgb) as rgb:
            yield from (_frame(cdit, rgb, n, recording) for n in _numbers(cdit, recording.cdit, wanted))


def count_frames(path: Path) -> list[int]:
    """Numbers of a recording's frames, sorted."""
    import h5py

    with _open(h5py, path) as opened:
        return _numbers(opened, path, None)


def _open(h5py: Any, path: Path) -> Any:
    if not path.is_file():
        raise BrokenError("missing", f"recording not found: {path}")
    try:
        return h5py.File(path, "r")
    except OSError as reason:
        raise BrokenError("damaged", f"{path}: not a readable HDF5 file ({str(reason).splitlines()[0]})") from None


def _numbers(opened: Any, path: Path, wanted: Iterable[int] | None) -> list[int]:
    there = sorted(int(key[6:]) for key in opened if re.fullmatch(r"Frame_\d+", key))
    if not there:
        raise BrokenError("shape", f"{path}: expected groups Frame_0, Frame_1 …, got {', '.join(list(opened)[:3])}")
    if wanted is None:
        return there
    for number in (wanted := list(wanted)):
        if number not in there:
            raise BrokenError("missing", f"{path}: expected a frame {number}, it has {there[0]} to {there[-1]}")
    return wanted


def _frame(cdit: Any, rgb: Any, number: int, recording: Recording) -> tuple[int, dict[Modality, Any]]:
    planes = _array(cdit, number, 4, recording.cdit)
    grey = np.repeat(planes[0][..., None], 3, axis=2)
    colour = grey if rgb is None else _array(rgb, number, 3, recording.rgb).transpose(1, 2, 0)
    if colour.shape[:2] != planes.shape[1:]:
        raise BrokenError(
            "shape", f"{recording.rgb}: expected {planes.shape[1:]} pixels as in CDIT, got {colour.shape[:2]}"
        )
    images = {Modality.RGB: np.ascontiguousarray(colour), Modality.DEPTH: planes[1], Modality.IR: planes[2]}
    return number, images


def _array(opened: Any, number: int, channels: int, path: Path | None) -> NDArray[np.uint8]:
    try:
        array = np.asarray(opened[f"Frame_{number}"]["array"])
    except (KeyError, OSError) as reason:
        raise BrokenError("missing", f"{path}: frame {number} cannot be read ({reason})") from None
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[0] != channels:
        want = f"uint8 ({channels}, H, W)"
        raise BrokenError("shape", f"{path}: expected {want} in frame {number}, got {array.dtype} {array.shape}")
    return array
