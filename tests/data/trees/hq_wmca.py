"""HQ-WMCA: streams of three cameras of different sizes in one HDF5 file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from data.trees._faces import Break, Faces, Tree, edit_line, truncate

CASES = ("release",)
KINDS = (("", "", 0), ("mannequin", "fake_head", 2), ("print", "print_flat", 3))
PARTS = {"train": "train", "dev": "validation", "eval": "test"}


def write(case: str, root: Path, faces: Faces) -> Tree:
    h5py = pytest.importorskip("h5py")
    tree = Tree(root, options={"frames": {"count": 2}}, marked=False)
    (root / "grand_test").mkdir()
    number = 0
    for turn, (part, split) in enumerate(PARTS.items()):
        lines = ["filename,client_id,attack_type"]
        for i in (1, 2):
            for attack, ours, kind in KINDS:
                client = turn * 10 + i
                name = f"1_01_{client:04d}_0000_{kind:02d}_00_000-{number:08x}"
                record(h5py, root / f"face-station/{name}.h5", faces, number, live=not attack)
                lines.append(f"face-station/{name},{client},{attack}")
                tree.rows += [(split, "attack" if attack else "bona_fide", attack, ours)] * 2
                number += 1
        (root / f"grand_test/{part}.csv").write_text("\n".join(lines) + "\n")
    listed = "grand_test/train.csv"
    files = sorted((root / "face-station").glob("1_01_0001_*"))
    other = sorted((root / "face-station").glob("1_01_0002_*"))
    tree.breaks = [
        Break("missing", listed, 2, 2, files[0].unlink),
        Break("damaged", listed, 3, 2, lambda: truncate(files[1])),
        Break("shape", listed, 4, 2, lambda: _without_infrared(h5py, files[2])),
        Break("line", listed, 5, 2, lambda: edit_line(root / listed, 5, lambda line: line + "print")),
        Break("no_face", listed, 6, 2, lambda: record(h5py, other[1], faces, 0, live=False, black=True)),
    ]
    return tree


def record(h5py, path: Path, faces: Faces, number: int, *, live: bool, black: bool = False) -> None:
    """Three frames of colour at 160 x 120, as many of depth and infrared at 80 x 60."""
    path.parent.mkdir(parents=True, exist_ok=True)
    face = (faces.live if live else faces.attack)(number)
    colour = np.full((120, 160, 3), 120, np.uint8)
    colour[12:108, 32:128] = face.rgb
    depth, ir = np.full((60, 80), 900, np.uint16), np.full((60, 80), 30, np.uint8)
    depth[6:54, 16:64] = cv2.resize(face.depth_mm, (48, 48), interpolation=cv2.INTER_NEAREST)
    ir[6:54, 16:64] = cv2.resize(face.ir, (48, 48))
    if black:
        colour[:] = 0
    with h5py.File(path, "w") as opened:
        opened["BASLER_BGR"] = np.stack([colour[..., ::-1].transpose(2, 0, 1)] * 3)
        opened["INTEL_DEPTH/array"] = np.stack([depth[None]] * 3)
        opened["INTEL_NIR/array"] = np.stack([ir[None]] * 3)


def _without_infrared(h5py, path: Path) -> None:
    with h5py.File(path, "r+") as opened:
        del opened["INTEL_NIR"]
