"""The three images of a CASIA capture: which modality a path is of is told by its name, never by its column."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from mfas.core import Modality
from mfas.data.importers._frames import FrameRule, pick_frames

FOLDERS = {"color": Modality.RGB, "profile": Modality.RGB, "depth": Modality.DEPTH, "ir": Modality.IR}
_SUFFIX = re.compile(r"-(color|depth|ir)\.\w+$")
_IMAGES = (".jpg", ".jpeg", ".png")


def modality_of(path: str) -> Modality | None:
    """By the folder ``.../color/0001.jpg`` or the ending ``000001-color.jpg``; None when neither tells."""
    ending = _SUFFIX.search(path)
    return FOLDERS[ending[1]] if ending else FOLDERS.get(path.rsplit("/", 2)[-2] if "/" in path else "")


def by_modality(paths: Iterable[str]) -> dict[Modality, str] | str:
    """Paths of one capture by modality, or what is wrong with them in one sentence."""
    found: dict[Modality, str] = {}
    for path in paths:
        modality = modality_of(path)
        if modality is None:
            return f"expected a path with a folder or an ending color, profile, depth or ir, got '{path[:120]}'"
        if modality in found:
            return f"expected one {modality} image, got '{found[modality][:120]}' and '{path[:120]}'"
        found[modality] = path
    return found


def beside(colour: Path) -> dict[Modality, Path]:
    """The twins of ``CLIP/color/0001.jpg``: the same file name in the folders ``depth`` and ``ir``."""
    clip = colour.parent.parent
    return {
        Modality.RGB: colour,
        Modality.DEPTH: clip / "depth" / colour.name,
        Modality.IR: clip / "ir" / colour.name,
    }


def clip_frames(clip: Path, rule: FrameRule) -> Iterator[tuple[int, dict[Modality, Path]]]:
    """Chosen frames of a clip folder by number; those of the colour folder decide."""
    folder = next((clip / name for name in ("color", "profile") if (clip / name).is_dir()), clip / "color")
    frames = sorted(p for p in folder.glob("*") if p.suffix.lower() in _IMAGES) if folder.is_dir() else []
    for index in pick_frames(len(frames), rule):
        name = frames[index].stem
        yield int(name) if name.isdecimal() else index, beside(frames[index])
