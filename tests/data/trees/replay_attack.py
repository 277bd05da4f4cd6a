"""Replay-Attack: ``train/attack/hand/attack_print_client001_….mov``."""

from __future__ import annotations

from pathlib import Path

from data.trees._faces import Break, Faces, Tree
from data.trees._videos import film, usual_breaks

CASES = ("release",)
ATTACKS = (("fixed", "print", "photo", "print_flat"), ("hand", "highdef", "video", "replay_lcd"))


def write(case: str, root: Path, faces: Faces) -> Tree:
    tree = Tree(root, options={"frames": {"count": 2}}, modalities=("rgb",), marked=False)
    for turn, (part, split) in enumerate((("train", "train"), ("devel", "validation"), ("test", "test"))):
        for i in (1, 2):
            client = f"client{turn * 10 + i:03d}"
            film(root / part / f"real/{client}_session01_webcam_authenticate_adverse_1.mov", faces, i, live=True)
            tree.rows += [(split, "bona_fide", "", "")] * 2
            for holder, instrument, media, ours in ATTACKS:
                name = f"attack_{instrument}_{client}_session01_highdef_{media}_controlled.mov"
                film(root / part / f"attack/{holder}/{name}", faces, i, live=False)
                tree.rows += [(split, "attack", f"{instrument}_{media}", ours)] * 2
    (root / "enroll").mkdir()
    first, second = (f"train/real/client00{i}_session01_webcam_authenticate_adverse_1.mov" for i in (1, 2))
    stray = "devel/attack/hand/stray.mov"
    tree.breaks = [
        *usual_breaks(tree, faces, first, second),
        Break("folder", stray, 0, 0, lambda: film(root / stray, faces, 0, live=False)),
    ]
    return tree
