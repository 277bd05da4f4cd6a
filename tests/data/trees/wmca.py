"""WMCA, preprocessed: recordings in HDF5 and a protocol as CSV."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.trees._faces import Break, Faces, Tree, edit_line, truncate

CASES = ("idiap", "bench")
FRAMES = 4
RECORDINGS = (
    ("002_01_000_0_00", "train", "", ""),
    ("002_01_003_2_81", "train", "flexible_mask", "mask_silicone"),
    ("501_01_032_2_02", "train", "fake_head", "fake_head"),
    ("098_04_010_3_11", "train", "print", "print_flat"),
    ("003_01_000_0_01", "dev", "", ""),
    ("512_01_008_1_01", "dev", "glasses", "glasses"),
    ("019_01_062_4_08", "dev", "replay", "replay_lcd"),
    ("001_01_000_0_00", "eval", "", ""),
    ("001_01_033_2_08", "eval", "paper_mask", "mask_paper"),
    ("001_01_043_2_12", "eval", "rigid_mask", "mask_rigid"),
)
SPLITS = {"train": "train", "dev": "validation", "eval": "test"}


def write(case: str, root: Path, faces: Faces) -> Tree:
    h5py = pytest.importorskip("h5py")
    tree = Tree(root, options={"frames": {"count": 2}})
    if case == "idiap":
        cdit, rgb = (root / f"WMCA_preprocessed_{part}/WMCA/face-station/12.02.18" for part in ("CDIT", "RGB"))
        lines = [",client_id,filepath,group,label"]
    else:
        cdit, rgb = (root / f"WMCA/preprocessed-face-station_{part}/12.02.18" for part in ("CDIT", "RGB"))
        lines = []
    for i, (name, part, species, ours) in enumerate(RECORDINGS):
        record(h5py, cdit / f"{name}.hdf5", rgb / f"{name}.hdf5", faces, i * FRAMES, live=not species)
        for _ in range(2):
            tree.add(SPLITS[part], *((species, ours) if species else ()))
        truth = "attack" if species else "bonafide"
        path = f"face-station/12.02.18/{name}"
        lines.append(f"{i},{int(name[:3])},{path},{part},{truth}" if case == "idiap" else f"{path}.hdf5,{part}")
    (root / "PROTOCOL-grandtest.csv").write_text("\n".join(lines) + "\n")
    listed, first = "PROTOCOL-grandtest.csv", 2 if case == "idiap" else 1
    tree.breaks = [
        Break("missing", listed, first, 2, (rgb / "002_01_000_0_00.hdf5").unlink),
        Break("damaged", listed, first + 1, 2, lambda: truncate(cdit / "002_01_003_2_81.hdf5")),
        Break("shape", listed, first + 2, 2, lambda: _planes(h5py, cdit / "501_01_032_2_02.hdf5")),
        Break(
            "line",
            listed,
            first + 4,
            2,
            lambda: edit_line(root / listed, first + 4, lambda line: f"nonsense {len(line)}"),
        ),
    ]
    return tree


def record(h5py, cdit: Path, rgb: Path, faces: Faces, first: int, *, live: bool, frames: int = FRAMES) -> None:
    """Write the two files of a recording."""
    cdit.parent.mkdir(parents=True, exist_ok=True)
    rgb.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(cdit, "w") as one, h5py.File(rgb, "w") as two:
        for frame in range(frames):
            face = (faces.live if live else faces.attack)(first + frame)
            grey = face.rgb.mean(axis=2).astype(np.uint8)
            planes = np.stack([grey, face.far_bright, face.ir, grey])
            one.create_dataset(f"Frame_{frame}/array", data=planes)
            two.create_dataset(f"Frame_{frame}/array", data=face.rgb.transpose(2, 0, 1))


def _planes(h5py, path: Path) -> None:
    """A recording with three planes where four are due."""
    with h5py.File(path, "r+") as opened:
        for name in list(opened):
            array = opened[name]["array"][:3]
            del opened[name]["array"]
            opened[name].create_dataset("array", data=array)
