"""Protocol lists of the CASIA sets (``CASIA_CeFA@p1.1_image_train.txt``): two columns, 0 = live, 1 = fake."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mfas.core import Label, Modality
from mfas.data.importers._frames import FrameRule
from mfas.data.importers._lists import LIVE_IS_0, SPLIT_OF, label_of, read_fields
from mfas.data.importers._twins import beside, clip_frames, modality_of
from mfas.data.importers.contract import Importer, Skip, Where

_FOLDERS = ("", "protocol/", "protocols/")
Listed = tuple[Where, Label, str, int, dict[Modality, Path]]


def listed_frames(importer: Importer, pattern: str, rule: FrameRule) -> Iterator[Listed | Skip]:
    """Where, label, split, number and files of every frame of the lists; ``pattern`` has ``{kind}`` and ``{part}``.

    A list of images names frames, a list of videos names colour folders: of those, frames are chosen by ``rule``.
    Depth and infrared have the same file name in the folders beside.
    """
    for part in ("train", "dev", "test"):
        names = [folder + pattern.format(kind=kind, part=part) for kind in ("image", "video") for folder in _FOLDERS]
        path = importer.expect(*names)
        name = importer.relative(path)
        importer.seen.append(name)
        for entry in read_fields(path, name, 2):
            if isinstance(entry, Skip):
                yield entry
                continue
            where, (cell, truth) = entry
            label = label_of(truth, LIVE_IS_0, where)
            if isinstance(label, Skip):
                yield label
                continue
            if modality_of(cell if Path(cell).suffix else f"{cell}/") not in (Modality.RGB, None):
                yield Skip(where, "line", f"expected a path of the folder color or profile, got '{cell[:120]}'")
                continue
            target = _resolve(importer.root, cell)
            if target.suffix:
                number = int(target.stem) if target.stem.isdecimal() else 0
                yield where, label, SPLIT_OF[part], number, beside(target)
                continue
            clip = target.parent if target.name in ("color", "profile") else target
            found = list(clip_frames(clip, rule))
            if not found:
                yield Skip(where, "missing", f"no frames found in {clip}")
            for number, files in found:
                yield where, label, SPLIT_OF[part], number, files


def _resolve(root: Path, cell: str) -> Path:
    """Below the root, with or without the set's name in front; ``color`` may be spelled ``profile``."""
    shorter = cell.split("/", 1)[-1]
    for name in (cell, shorter, cell.replace("/color", "/profile"), shorter.replace("/color", "/profile")):
        if (root / name).exists():
            return root / name
    return root / cell
