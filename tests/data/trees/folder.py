"""Our own directory convention."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.trees._faces import Break, Faces, Tree, save, truncate

CASES = ("crops",)


def write(case: str, root: Path, faces: Faces) -> Tree:
    tree = Tree(root, options={"box": "full", "depth_kind": "relative_near_bright"})
    number = 0
    for turn, split in enumerate(("train", "validation", "test")):
        for person in range(2):
            for kind in ("live", "print_flat", "mask_paper"):
                clip = root / split / kind / f"anna{turn}{person}" / "visit"
                for frame in range(2):
                    face = (faces.live if kind == "live" else faces.attack)(number)
                    for name, image in (("rgb", face.rgb), ("depth", face.near_bright), ("ir", face.ir)):
                        save(clip / name / f"{frame:04d}.png", image)
                    tree.add(split, *(() if kind == "live" else (kind, kind)))
                    number += 1
    clip = "train/live/anna00/visit"
    other = "train/print_flat/anna00/visit"
    tree.breaks = [
        Break("missing", f"{clip}/0000", 0, 1, (root / clip / "depth/0000.png").unlink),
        Break("damaged", f"{clip}/0001", 0, 1, lambda: truncate(root / clip / "ir/0001.png")),
        Break(
            "shape", f"{other}/0000", 0, 1, lambda: save(root / other / "rgb/0000.png", np.full((9, 9), 9, np.uint8))
        ),
        Break("folder", "trial", 0, 0, (root / "trial").mkdir),
        Break("folder", "test/live/anna20/visit", 0, 2, (root / "test/live/anna20/visit/thermal").mkdir),
    ]
    return tree
