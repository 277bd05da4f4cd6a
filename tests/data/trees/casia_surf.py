"""CASIA-SURF as the challenge ships it, and with the protocol lists of its authors."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.trees._faces import Break, Face, Faces, Tree, edit_line, grey3, save, truncate

CASES = ("challenge", "protocol")
ATTACKS = ("01_e_s", "02_e_b", "06_enm_b")


def write(case: str, root: Path, faces: Faces) -> Tree:
    return _challenge(root, faces) if case == "challenge" else _protocol(root, faces)


def _images(face: Face) -> dict[str, object]:
    return {"color": face.rgb, "depth": grey3(face.near_bright), "ir": grey3(face.ir)}


def _challenge(root: Path, faces: Faces) -> Tree:
    tree = Tree(root)
    lines: list[str] = []
    number = 0
    for subject in range(4):
        for clip in ("real", *ATTACKS):
            folder = f"Training/{'real' if clip == 'real' else 'fake'}_part/CLKJ_AS{subject:04d}/{clip}.rssdk"
            face = (faces.live if clip == "real" else faces.attack)(number)
            for name, image in _images(face).items():
                save(root / f"phase1/{folder}/{name}/131.jpg", image)
            lines.append(
                " ".join(f"{folder}/{n}/131.jpg" for n in ("color", "depth", "ir")) + f" {int(clip == 'real')}"
            )
            tree.add("train", *(() if clip == "real" else (clip, "print_cut")))
            number += 1
    (root / "phase1/train_list.txt").write_text("\n".join(lines) + "\n")
    for phase, folder, name, split in (
        ("phase1", "Val", "val_private_list.txt", "validation"),
        ("phase2", "Testing", "test_private_list.txt", "test"),
    ):
        lines = []
        for i in range(6):
            face = (faces.live if i % 2 else faces.attack)(number + i)
            stem = f"{folder}/0000/{i:06d}"
            for part, image in _images(face).items():
                save(root / f"{phase}/{stem}-{part}.jpg", image)
            lines.append(f"{stem}-color.jpg {stem}-depth.jpg {stem}-ir.jpg {i % 2}")
            tree.add(split, *(() if i % 2 else ("fake", "unknown")))
        (root / f"{phase}/{name}").write_text("\n".join(lines) + "\n")
    clip = root / "phase1/Training/real_part/CLKJ_AS0000/real.rssdk"
    listed = "phase1/train_list.txt"
    fake = root / "phase1/Training/fake_part/CLKJ_AS0000"
    tree.breaks = [
        Break("missing", listed, 1, 1, (clip / "depth/131.jpg").unlink),
        Break("damaged", listed, 2, 1, lambda: truncate(fake / "01_e_s.rssdk/ir/131.jpg")),
        Break("shape", listed, 3, 1, lambda: save(fake / "02_e_b.rssdk/color/131.jpg", np.full((9, 9), 80, np.uint8))),
        Break("line", listed, 5, 1, lambda: edit_line(root / listed, 5, lambda line: line.replace(" ", ",", 1))),
        Break("line", listed, 6, 1, lambda: edit_line(root / listed, 6, lambda line: line[:-1] + "1")),
        Break("shape", listed, 7, 1, lambda: _colour(root / "phase1/Training/fake_part/CLKJ_AS0001/02_e_b.rssdk/ir")),
    ]
    return tree


def _colour(folder: Path) -> None:
    """A colour image in the place of infrared."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., 0] = 200
    save(folder / "131.jpg", image)


def _protocol(root: Path, faces: Faces) -> Tree:
    tree = Tree(root, options={"frames": {"count": 2}})
    number = 0
    for part, folder, split in (
        ("train", "Training", "train"),
        ("dev", "Val", "validation"),
        ("test", "Testing", "test"),
    ):
        lines = []
        for subject in range(2):
            for clip in ("real", "03_en_s"):
                live = clip == "real"
                kind = "real" if live else "fake"
                path = f"CASIA_SURF/Data/{folder}/{kind}_part/CLKJ_{split[1].upper()}S{subject:04d}/{clip}.rssdk"
                for frame in range(2):
                    face = (faces.live if live else faces.attack)(number)
                    for name, image in _images(face).items():
                        save(root / f"{path}/{name}/{frame * 10 + 1}.jpg", image)
                    tree.add(split, *(() if live else (clip, "print_cut")))
                    number += 1
                    if part != "test":
                        lines.append(f"{path}/color/{frame * 10 + 1}.jpg {int(not live)}")
                if part == "test":
                    lines.append(f"{path}/color {int(not live)}")
        kind = "video" if part == "test" else "image"
        (root / "protocol").mkdir(exist_ok=True)
        (root / f"protocol/CASIA_SURF@p1_{kind}_{part}.txt").write_text("\n".join(lines) + "\n")
    listed = "protocol/CASIA_SURF@p1_image_train.txt"
    clip = root / "CASIA_SURF/Data/Training/real_part/CLKJ_RS0000/real.rssdk"
    tree.breaks = [
        Break("missing", listed, 1, 1, (clip / "depth/1.jpg").unlink),
        Break("damaged", listed, 2, 1, lambda: truncate(clip / "ir/11.jpg")),
        Break("line", listed, 3, 1, lambda: edit_line(root / listed, 3, lambda line: line[:-2])),
    ]
    return tree
