"""MSU-MFSD: ``scene01/attack/attack_client001_android_SD_ipad_video_scene01.mp4``."""

from __future__ import annotations

from pathlib import Path

from data.trees._faces import Break, Faces, Tree, edit_line
from data.trees._videos import film, usual_breaks
from mfas.data.importers._lists import held_out

CASES = ("release",)
ATTACKS = (("ipad_video", "replay_lcd"), ("printed_photo", "print_flat"))


def write(case: str, root: Path, faces: Faces) -> Tree:
    tree = Tree(root, options={"frames": {"count": 2}}, modalities=("rgb",), marked=False)
    clients = {"train": (2, 3, 5, 6), "test": (1, 9)}
    for part, people in clients.items():
        for i in people:
            split = "validation" if part == "train" and held_out(f"{i:03d}") else part
            film(root / f"scene01/real/real_client{i:03d}_android_SD_scene01.mp4", faces, i, live=True)
            tree.rows += [(split, "bona_fide", "", "")] * 2
            for species, ours in ATTACKS:
                film(
                    root / f"scene01/attack/attack_client{i:03d}_laptop_SD_{species}_scene01.mov", faces, i, live=False
                )
                tree.rows += [(split, "attack", species, ours)] * 2
        (root / f"{part}_sub_list.txt").write_text("".join(f"{i:02d}\n" for i in people))
    first, second = (f"scene01/real/real_client{i:03d}_android_SD_scene01.mp4" for i in (2, 3))
    stray = "scene01/real/attack_client001_android_SD_ipad_video_scene01.mp4"
    gone = [
        "scene01/attack/attack_client009_laptop_SD_ipad_video_scene01.mov",
        "scene01/attack/attack_client009_laptop_SD_printed_photo_scene01.mov",
        "scene01/real/real_client009_android_SD_scene01.mp4",
    ]
    tree.breaks = [
        *usual_breaks(tree, faces, first, second),
        Break("folder", stray, 0, 0, lambda: film(root / stray, faces, 0, live=False)),
        Break(
            "line", "test_sub_list.txt", 2, 6, lambda: edit_line(root / "test_sub_list.txt", 2, lambda line: line + "x")
        ),
        *(Break("missing", path, 0, 0, lambda: None) for path in gone),
    ]
    return tree
