"""Videos in the containers that the sets use."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from data.trees._faces import Break, Faces, Tree, truncate

CODECS = {".avi": "MJPG", ".mov": "mp4v", ".mp4": "mp4v"}


def film(path: Path, faces: Faces, number: int, *, live: bool, frames: int = 5, black: bool = False) -> None:
    """A face that moves a little on a grey wall, 160 x 120."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*CODECS[path.suffix]), 25, (160, 120))
    assert writer.isOpened()
    face = (faces.live if live else faces.attack)(number).rgb
    for frame in range(frames):
        image = np.full((120, 160, 3), 0 if black else 120, np.uint8)
        if not black:
            image[12:108, 32 + frame : 128 + frame] = face
        writer.write(image[..., ::-1])
    writer.release()


def usual_breaks(tree: Tree, faces: Faces, *paths: str) -> list[Break]:
    """A truncated video, and one without a face; two captures each."""
    first, second = (tree.root / path for path in paths)
    return [
        Break("damaged", paths[0], 0, 2, lambda: truncate(first)),
        Break("no_face", paths[1], 0, 2, lambda: film(second, faces, 0, live=True, black=True)),
    ]
