"""OULU-NPU: ``Train_files/1_1_01_1.avi``, by folders and by a protocol's lists."""

from __future__ import annotations

from pathlib import Path

from data.trees._faces import Break, Faces, Tree, edit_line
from data.trees._videos import film, usual_breaks

CASES = ("folders", "protocol")
KINDS = {"1": ("", ""), "2": ("print_1", "print_flat"), "5": ("display_2", "replay_lcd")}
PARTS = {"Train": "train", "Dev": "validation", "Test": "test"}


def write(case: str, root: Path, faces: Faces) -> Tree:
    tree = Tree(root, options={"frames": {"count": 2}}, modalities=("rgb",), marked=False)
    if case == "protocol":
        tree.options["protocol"] = "3_1"
        (root / "Protocols/Protocol_3").mkdir(parents=True)
    for turn, (part, split) in enumerate(PARTS.items()):
        lines = []
        for i in (1, 2):
            for file, (species, ours) in KINDS.items():
                name = f"{i}_1_{turn * 10 + i:02d}_{file}"
                film(root / f"{part}_files/{name}.avi", faces, i, live=not species)
                (root / f"{part}_files/{name}.txt").write_text("0,1,2,3,4\n")
                lines.append(f"{'-1' if species else '+1'},{name}")
                tree.rows += [(split, "attack" if species else "bona_fide", species, ours)] * 2
        if case == "protocol":
            (root / f"Protocols/Protocol_3/{part}_1.txt").write_text("\n".join(lines) + "\n")
    if case == "folders":
        stray = "Dev_files/1_1_1.avi"
        tree.breaks = [
            *usual_breaks(tree, faces, "Train_files/1_1_01_1.avi", "Train_files/2_1_02_1.avi"),
            Break("folder", stray, 0, 0, lambda: film(root / stray, faces, 0, live=False)),
        ]
    else:
        listed = "Protocols/Protocol_3/Train_1.txt"
        tree.breaks = [
            Break("missing", listed, 1, 2, (root / "Train_files/1_1_01_1.avi").unlink),
            Break("line", listed, 2, 2, lambda: edit_line(root / listed, 2, lambda line: "+" + line[1:])),
        ]
    return tree
