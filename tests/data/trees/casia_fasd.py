"""CASIA-FASD: ``train_release/1/HR_1.avi``."""

from __future__ import annotations

from pathlib import Path

from data.trees._faces import Break, Faces, Tree
from data.trees._videos import film, usual_breaks
from mfas.data.importers._lists import held_out

CASES = ("release",)
KINDS = {
    "1": ("", ""),
    "3": ("warped_photo", "print_curved"),
    "HR_3": ("cut_photo", "print_cut"),
    "8": ("video", "replay_lcd"),
}


def write(case: str, root: Path, faces: Faces) -> Tree:
    tree = Tree(root, options={"frames": {"count": 2}}, modalities=("rgb",), marked=False)
    for part, people in (("train", range(1, 6)), ("test", range(1, 3))):
        for person in people:
            split = "validation" if part == "train" and held_out(str(person)) else part
            for name, (species, ours) in KINDS.items():
                film(root / f"{part}_release/{person}/{name}.avi", faces, person, live=not species)
                tree.rows += [(split, "attack" if species else "bona_fide", species, ours)] * 2
    stray = "test_release/2/HR_9.avi"
    tree.breaks = [
        *usual_breaks(tree, faces, "train_release/1/1.avi", "test_release/1/3.avi"),
        Break("folder", stray, 0, 0, lambda: film(root / stray, faces, 0, live=False)),
    ]
    return tree
