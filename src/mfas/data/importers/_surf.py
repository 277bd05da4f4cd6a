"""Names of CASIA-SURF: ``fake_part/CLKJ_AS0137/01_e_s.rssdk/color/31.jpg``, in every spelling of its releases."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from mfas.core import UNKNOWN_SPECIES, Label, Modality
from mfas.data.importers.contract import Item, Skip, Where

SURF_SPECIES = {
    **dict.fromkeys(("01_e_s", "02_e_b", "03_en_s", "04_en_b", "05_enm_s", "06_enm_b"), "print_cut"),
    "fake": UNKNOWN_SPECIES,
}
"""The six attack folders (e eyes, n nose, m mouth cut out; s still, b bent); where names tell nothing, ``fake``."""
_CLIP = re.compile(r"(?:(real|fake)_part/)(?:(?:real|fake)_(?:train|val|test)_part/)?(\w+)/([\w-]+)\.rssdk/")


def surf_item(
    where: Where, label: Label | None, split: str, paths: Mapping[Modality, str], files: Mapping[Modality, Path]
) -> Item | Skip:
    """An item from the paths of a list line. A label that the folder's name contradicts is a `Skip`."""
    colour = next(iter(paths.values()))
    number = re.search(r"(\d+)(?:-\w+)?\.\w+$", colour)
    frame = int(number[1]) if number else 0
    clip = _CLIP.search(colour)
    if clip is None:  # validation and test of the challenge: names tell neither person nor attack
        species = "fake" if label is Label.ATTACK else ""
        return Item(where, colour, label, split, species, files=files, number=frame)
    told = Label.BONA_FIDE if clip[1] == "real" else Label.ATTACK
    if label is not None and told is not label:
        return Skip(where, "line", f"expected label {told.value} as the folder {clip[1]}_part says, got {label.value}")
    return Item(
        where,
        colour,
        told,
        split,
        clip[3] if told is Label.ATTACK else "",
        presentation=colour[: clip.end()],
        subject=clip[2],
        number=frame,
        files=files,
    )
