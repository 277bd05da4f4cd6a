"""MSU-MFSD: videos of prints and screens by a laptop and a phone, RGB only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import ClassVar

from mfas.core import Label
from mfas.data.importers._lists import held_out, read_lines
from mfas.data.importers._videos import VIDEOS, VideoImporter, VideoOptions
from mfas.data.importers.contract import Item, Skip, Where
from mfas.data.importers.registry import register

_NAME = re.compile(r"(real|attack)_client(\d+)_(android|laptop)_SD_(?:(\w+)_)?scene\d+")


@register("msu_mfsd")
class MsuMfsd(VideoImporter):
    """``real`` and ``attack`` below ``scene01``; people of the train and test part stand in two lists.

    The set has no development part: one person in five of the train part goes to validation, by a hash.
    """

    title = "MSU-MFSD"
    species: ClassVar[Mapping[str, str]] = {
        "ipad_video": "replay_lcd",
        "iphone_video": "replay_lcd",
        "printed_photo": "print_flat",
    }

    class Options(VideoOptions):
        """``validation``: whether people are taken from the train part for it."""

        validation: bool = True

    def scan(self) -> Iterator[Item | Skip]:
        """One item per video."""
        splits: dict[int, str] = {}
        for part in ("train", "test"):
            path = self.expect(f"{part}_sub_list.txt")
            self.seen.append(self.relative(path))
            for number, line in read_lines(path):
                if line.isdecimal():
                    splits[int(line)] = part
                else:
                    yield Skip(Where(self.relative(path), number), "line", f"expected a client number, got '{line}'")
        scene = self.expect("scene01/real", "real", folder=True).parent
        for kind in ("real", "attack"):
            for path in sorted(p for p in (scene / kind).glob("*") if p.suffix.lower() in VIDEOS):
                key = self.relative(path)
                name = _NAME.fullmatch(path.stem)
                if name is None or name[1] != kind or (kind == "real") == bool(name[4]):
                    yield Skip(Where(key), "folder", f"expected a name as in {kind}, got '{path.name}'")
                elif int(name[2]) not in splits:
                    yield Skip(Where(key), "missing", f"client {name[2]} is in neither list of people")
                else:
                    live = kind == "real"
                    split = splits[int(name[2])]
                    if split == "train" and self.options.validation and held_out(name[2]):
                        split = "validation"
                    label = Label.BONA_FIDE if live else Label.ATTACK
                    yield Item(Where(key), key, label, split, name[4] or "", subject=name[2], payload=path)

    def notes(self) -> list[str]:
        """Lists read, and that validation is ours."""
        own = ["validation: one person in five of the train part, by a hash"] if self.options.validation else []
        return super().notes() + own
