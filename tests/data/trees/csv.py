"""A table with other people's column names and labels."""

from __future__ import annotations

from pathlib import Path

from data.trees._faces import Break, Faces, Tree, edit_line, save, truncate

CASES = ("foreign",)


def write(case: str, root: Path, faces: Faces) -> Tree:
    columns = {"rgb": "colour", "depth": "range", "ir": "nir", "label": "is_live", "subject": "who", "split": "part"}
    path = root / "table.csv"
    options = {"columns": columns, "labels": {"yes": "bona_fide", "no": "attack"}, "depth_kind": "relative_near_bright"}
    tree = Tree(path, options=options)
    lines = ["colour,range,nir,is_live,species,who,part,box"]
    for i in range(18):
        split = ("train", "validation", "test")[i // 6]
        face = (faces.attack if i % 3 else faces.live)(i)
        for name, image in (("c", face.rgb), ("d", face.near_bright), ("i", face.ir)):
            save(root / f"images/{i}{name}.png", image)
        species = ("", "print_flat", "")[i % 3]
        cells = [*(f"images/{i}{name}.png" for name in "cdi"), "no" if i % 3 else "yes", species, f"p{i // 3}"]
        lines.append(",".join([*cells, split, "full"]))
        tree.add(split, *(((), ("print_flat", "print_flat"), ("unnamed", "unknown"))[i % 3]))
    path.write_text("\n".join(lines) + "\n")
    tree.breaks = [
        Break("missing", "table.csv", 2, 1, (root / "images/0d.png").unlink),
        Break("damaged", "table.csv", 3, 1, lambda: truncate(root / "images/1i.png")),
        Break("line", "table.csv", 4, 1, lambda: edit_line(path, 4, lambda line: line.replace(",no,", ",maybe,"))),
        Break("line", "table.csv", 5, 1, lambda: edit_line(path, 5, lambda line: line + ",7")),
        Break("line", "table.csv", 6, 1, lambda: edit_line(path, 6, lambda line: line.replace("full", "1,2"))),
    ]
    return tree
