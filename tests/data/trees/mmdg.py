"""The benchmark's lists over the native folders of its four sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from data.trees import padisi
from data.trees._faces import Break, Face, Faces, Tree, edit_line, grey3, save, truncate
from data.trees.wmca import record

CASES = ("C", "P", "S", "W", "W_images")
PARTS = {"train": "train", "val": "validation", "test": "test"}
NAMES = ("color", "depth", "ir")
Listed = Iterator[tuple[str, bool, tuple[str, str]]]


def write(case: str, root: Path, faces: Faces, people: int = 2) -> Tree:
    """``people`` of each split; every one with a live and two attack presentations."""
    tree = Tree(root, options={"set": case[0]})
    listed = root / "MMDG-Benchmark"
    listed.mkdir(parents=True, exist_ok=True)
    makers = {"C": _cefa, "P": _padisi, "S": _surf, "W": _wmca, "W_images": _wmca_images}
    for turn, (part, split) in enumerate(PARTS.items()):
        lines = []
        for line, live, species in makers[case](root, faces, part, turn, people):
            tab = "\t" if case == "P" else " "
            lines.append(f"{line}{tab}{int(live)}")
            tree.add(split, *(() if live else species))
        end = "\n" if case == "P" else "\r\n"
        (listed / f"{case[0]}-{part}.txt").write_bytes(end.join(lines).encode())
    _damage(tree, root, f"MMDG-Benchmark/{case[0]}-train.txt", case)
    return tree


def _damage(tree: Tree, root: Path, listed: str, case: str) -> None:
    first = (root / listed).read_text().splitlines()[0]
    tree.breaks = [
        Break(
            "line",
            listed,
            3,
            1,
            lambda: edit_line(root / listed, 3, lambda line: line.replace("\t", "").replace(" ", "")),
        ),
        Break("line", listed, 4, 1, lambda: edit_line(root / listed, 4, lambda line: line[:-1] + "2")),
    ]
    if case in ("C", "S", "W_images"):
        paths = [root / cell for cell in first.split()[:3]]
        second = [root / cell for cell in (root / listed).read_text().splitlines()[1].split()[:3]]
        tree.breaks += [
            Break("missing", listed, 1, 1, paths[1].unlink),
            Break("damaged", listed, 2, 1, lambda: truncate(second[2])),
        ]


def _images(face: Face, colour: str, folder: Path, name: str, border: int = 0) -> None:
    far = face.far_bright if "WMCA" in folder.as_posix() else face.near_bright
    for part, image in {colour: face.rgb, "depth": grey3(far), "ir": grey3(face.ir)}.items():
        save(folder / part / name, np.pad(image, ((border, border), (border, border), (0, 0))))


def _cefa(root: Path, faces: Faces, part: str, turn: int, people: int) -> Listed:
    for i in range(people):
        person = turn * 100 + 100 + i
        for k, (pai, species) in enumerate(
            (("1", ("", "")), ("2", ("cloth", "print_curved")), ("4", ("screen", "replay_lcd")))
        ):
            clip = f"CeFA/CeFA-Race/AF/AF-{person}/1_{person}_{1 if pai == '1' else 3}_1_{pai}"
            number = 9 * (turn * people + i) + 3 * k
            _images((faces.attack if k else faces.live)(number), "profile", root / clip, "0026.jpg", border=10)
            yield " ".join(f"{clip}/{n}/0026.jpg" for n in ("profile", "depth", "ir")), not k, species


def _surf(root: Path, faces: Faces, part: str, turn: int, people: int) -> Listed:
    for i in range(people):
        for k, clip in enumerate(("real", "01_e_s", "04_en_b")):
            kind = "fake" if k else "real"
            folder = f"CASIA-SURF-CROP/{kind}_part/{kind}_{part}_part/CLKJ_BS{turn * 100 + i:04d}/{clip}.rssdk"
            number = 9 * (turn * people + i) + 3 * k + 1
            _images((faces.attack if k else faces.live)(number), "color", root / folder, "121.jpg")
            yield " ".join(f"{folder}/{n}/121.jpg" for n in NAMES), not k, (clip, "print_cut")


_WMCA = (("0_00", ("", "")), ("3_01", ("print", "print_flat")), ("2_12", ("rigid_mask", "mask_rigid")))


def _wmca(root: Path, faces: Faces, part: str, turn: int, people: int) -> Listed:
    h5py = pytest.importorskip("h5py")
    for name, live, species, number in _wmca_names(turn, people):
        folders = [root / f"WMCA_preprocessed_{x}/WMCA/face-station/12.02.18/{name}.hdf5" for x in ("CDIT", "RGB")]
        record(h5py, *folders, faces, number, live=live, frames=3)
        yield " ".join(f"WMCA-Image/R_CDIT/{name}/{n}/0002.jpg" for n in NAMES), live, species


def _wmca_images(root: Path, faces: Faces, part: str, turn: int, people: int) -> Listed:
    for name, live, species, number in _wmca_names(turn, people):
        folder = f"WMCA-Image/R_CDIT/{name}"
        _images((faces.live if live else faces.attack)(number), "color", root / folder, "0012.jpg")
        yield " ".join(f"{folder}/{n}/0012.jpg" for n in NAMES), live, species


def _wmca_names(turn: int, people: int) -> Iterator[tuple[str, bool, tuple[str, str], int]]:
    for i in range(people):
        for k, (kind, species) in enumerate(_WMCA):
            yield f"{turn * 100 + i + 1:03d}_01_000_{kind}", not k, species, 9 * (turn * people + i) + 3 * k


def _padisi(root: Path, faces: Faces, part: str, turn: int, people: int) -> Listed:
    truth = root / "padisi_USC_FACE_ground_truth.csv"
    if not truth.exists():
        truth.write_text("transaction_id,trial_id,ground_truth,participant_id\n")
    (root / "PADISI").mkdir(exist_ok=True)
    for i in range(people):
        for k, code in enumerate(("m00000", "m50302", "m50601")):
            trial = f"z{turn}{i:03d}{k}aa"
            number = 9 * (turn * people + i) + 3 * k + 2
            face = (faces.attack if k else faces.live)(number)
            np.savez(root / f"PADISI/ID_{turn:040x}_{trial}_FACE_SMILE.npz", data=padisi.array(face))
            with truth.open("a") as handle:
                handle.write(f"{turn:040x},{trial},{code},p{turn}_{i}\n")
            yield f"{trial}.npz", not k, (code, padisi.CODES.get(code, ""))
