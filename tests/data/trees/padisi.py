"""PADISI-Face: multi-spectral arrays, ground truth, and a fold."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.trees._faces import Break, Face, Faces, Tree, edit_line, truncate

CASES = ("release",)
CODES = {"m50101": "glasses", "m50302": "fake_head", "m50601": "makeup", "m50701": "mask_silicone"}
SPLITS = {"train": "train", "valid": "validation", "test": "test"}


def array(face: Face) -> np.ndarray:
    """``[1, 22, H, W]`` float32 in [0, 1]: BGR, infrared, depth, and the planes we do not use."""
    planes = np.full((1, 22, *face.ir.shape), 0.5, np.float32)
    planes[0, :3] = face.rgb.transpose(2, 0, 1)[::-1] / 255
    planes[0, 3], planes[0, 4] = face.ir / 255, face.far_bright / 255
    return planes


def write(case: str, root: Path, faces: Faces) -> Tree:
    tree = Tree(root)
    truth = ["transaction_id,trial_id,trial_name,modality,ground_truth,participant_id,gender,ethnicity,race,age"]
    part = ["transaction_id,trial_id,trial_name,partition_name"]
    (root / "multi").mkdir(parents=True)
    for i in range(18):
        split = ("train", "train", "train", "valid", "test", "test")[i % 6]
        code = "m00000" if i % 2 else list(CODES)[i // 2 % 4]
        transaction, trial = f"{i // 3:040x}", f"a{i:07d}"
        name = "FACE_NEUTRAL_WITHOUT_GLASS"
        face = (faces.live if i % 2 else faces.attack)(i)
        np.savez(root / f"multi/ID_{transaction}_{trial}_{name}.npz", data=array(face))
        truth.append(f"{transaction},{trial},{name},FACE,{code},p{i},Female,Not Hispanic or Latino,Asian,23")
        part.append(f"{transaction},{trial},{name},{split}")
        tree.add(SPLITS[split], *(() if i % 2 else (code, CODES[code])))
    (root / "face_partitions").mkdir()
    (root / "face_partitions/padisi_USC_FACE_ground_truth.csv").write_text("\n".join(truth) + "\n")
    listed = "face_partitions/padisi_USC_FACE_dataset_partition_3folds_part0.csv"
    (root / listed).write_text("\n".join(part) + "\n")
    paths = sorted((root / "multi").glob("*.npz"))
    tree.breaks = [
        Break("missing", listed, 2, 1, paths[0].unlink),
        Break("damaged", listed, 3, 1, lambda: truncate(paths[1])),
        Break("shape", listed, 4, 1, lambda: np.savez(paths[2], data=np.zeros((1, 21, 8, 8), np.float32))),
        Break("shape", listed, 5, 1, lambda: np.savez(paths[3], data=np.full((1, 22, 8, 8), 255, np.float32))),
        Break("line", listed, 6, 1, lambda: edit_line(root / listed, 6, lambda line: line.replace("test", "tset"))),
    ]
    return tree
