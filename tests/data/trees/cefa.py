"""CASIA-SURF CeFA: the full release with its masks, protocol lists (0 = live), and the challenge (1 = live)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.trees._faces import Break, Face, Faces, Tree, edit_line, grey3, save, truncate

CASES = ("full", "protocol", "challenge")
SPECIES = {"2": ("cloth", "print_curved"), "3": ("photo", "print_flat"), "4": ("screen", "replay_lcd")}


def write(case: str, root: Path, faces: Faces) -> Tree:
    return {"full": _full, "protocol": _protocol, "challenge": _challenge}[case](root, faces)


def _clip(folder: Path, faces: Faces, first: int, *, live: bool, colour: str = "profile", frames: int = 2) -> None:
    for frame in range(frames):
        face = (faces.live if live else faces.attack)(first + frame)
        for name, image in _images(face, colour).items():
            save(folder / name / f"{frame + 1:04d}.jpg", image)


def _images(face: Face, colour: str) -> dict[str, np.ndarray]:
    plain = {colour: face.rgb, "depth": grey3(face.near_bright), "ir": grey3(face.ir)}
    return {name: np.pad(image, ((12, 12), (20, 20), (0, 0))) for name, image in plain.items()}


def _full(root: Path, faces: Faces) -> Tree:
    tree = Tree(root, options={"frames": {"count": 2}})
    number = 0
    for race, code in (("AF", 1), ("EA", 3)):
        for person, split in ((5, "train"), (205, "validation"), (305, "test")):
            for pai in "124":
                name = f"{code}_{person:03d}_{1 if pai == '1' else 3}_1_{pai}"
                _clip(root / f"CeFA-Race/{race}/{race}-{person:03d}/{name}", faces, number, live=pai == "1")
                number += 2
                for _ in range(2):
                    tree.add(split, *SPECIES.get(pai, ()))
    for folder, clip, species in (
        ("3D-Mask/066", "1_066_1_1_2_1_3", ("3d_mask", "mask_rigid")),
        ("Silicone-Mask/003", "2_003_1_1_2_1_3", ("silicone", "mask_silicone")),
    ):
        _clip(root / f"CeFA-Mask/{folder}/{clip}", faces, number, live=False)
        number += 2
        for _ in range(2):
            tree.add("test", *species)
    live = "CeFA-Race/AF/AF-005/1_005_1_1_1"
    tree.breaks = [
        Break("missing", f"{live}", 0, 1, (root / live / "depth/0001.jpg").unlink),
        Break("damaged", "CeFA-Race/AF/AF-005/1_005_3_1_2", 0, 1, lambda: _half(root, "AF/AF-005/1_005_3_1_2/ir")),
        Break("folder", "CeFA-Race/AF/AF-205/stray", 0, 0, lambda: (root / "CeFA-Race/AF/AF-205/stray").mkdir()),
        Break(
            "damaged", "CeFA-Race/EA/EA-005/3_005_1_1_1", 0, 1, lambda: _black(root, "EA/EA-005/3_005_1_1_1/profile")
        ),
    ]
    return tree


def _half(root: Path, folder: str) -> None:
    truncate(root / "CeFA-Race" / folder / "0002.jpg")


def _black(root: Path, folder: str) -> None:
    save(root / "CeFA-Race" / folder / "0001.jpg", np.zeros((120, 136, 3), np.uint8))


def _protocol(root: Path, faces: Faces) -> Tree:
    tree = Tree(root, options={"protocol": "4.1", "frames": {"count": 2}})
    number = 0
    (root / "protocol").mkdir(parents=True, exist_ok=True)
    for part, split, people in (
        ("train", "train", (1, 2)),
        ("dev", "validation", (201,)),
        ("test", "test", (301, 302)),
    ):
        lines = []
        for person in people:
            for pai in "12":
                clip = f"CASIA_CeFA/Ethnicity/AF/AF-{person:03d}/1_{person:03d}_{1 if pai == '1' else 3}_2_{pai}"
                _clip(root / clip, faces, number, live=pai == "1", colour="color")
                number += 2
                for frame in (1, 2):
                    tree.add(split, *SPECIES.get(pai, ()))
                    if part != "test":
                        lines.append(f"{clip}/color/{frame:04d}.jpg {int(pai != '1')}")
                if part == "test":
                    lines.append(f"{clip}/color {int(pai != '1')}")
        kind = "video" if part == "test" else "image"
        (root / f"protocol/CASIA_CeFA@p4.1_{kind}_{part}.txt").write_text("\n".join(lines) + "\n")
    listed = "protocol/CASIA_CeFA@p4.1_image_train.txt"
    clip = root / "CASIA_CeFA/Ethnicity/AF/AF-001/1_001_1_2_1"
    tree.breaks = [
        Break("missing", listed, 1, 1, (clip / "depth/0001.jpg").unlink),
        Break("line", listed, 3, 1, lambda: edit_line(root / listed, 3, lambda line: line[:-1] + "0")),
        Break("line", listed, 4, 1, lambda: edit_line(root / listed, 4, lambda line: line[:-1] + "x")),
    ]
    return tree


def _challenge(root: Path, faces: Faces) -> Tree:
    tree = Tree(root, options={"protocol": "4@1", "frames": {"count": 2}})
    lines, number = [], 0
    for person in (186, 187):
        for pai in "14":
            clip = f"train/1_{person}_{1 if pai == '1' else 3}_1_{pai}"
            _clip(root / "phase1" / clip, faces, number, live=pai == "1")
            number += 2
            for frame in (1, 2):
                lines.append(f"{clip}/profile/{frame:04d}.jpg {int(pai == '1')}")
                tree.add("train", *SPECIES.get(pai, ()))
    (root / "phase1/4@1_train.txt").write_text("\n".join(lines) + "\n")
    lines = []
    for i in range(3):
        _clip(root / f"phase1/dev/00300{i}", faces, number, live=i == 0)
        number += 2
        lines.append(f"dev/00300{i} {int(i == 0)}")
        for _ in range(2):
            tree.add("validation", *(() if i == 0 else ("unnamed", "unknown")))
    (root / "phase1/4@1_dev_ref.txt").write_text("\n".join(lines) + "\n")
    _clip(root / "phase2/test/000001", faces, number, live=True)
    (root / "phase2/4@1_test_res.txt").write_text("test/000001\n")
    tree.rows += [("test", "", "", "")] * 2
    tree.breaks = [
        Break("missing", "phase1/4@1_train.txt", 2, 1, (root / "phase1/train/1_186_1_1_1/ir/0002.jpg").unlink),
    ]
    return tree
