"""OULU-NPU: videos by six phones, with two printers and two displays, RGB only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import field_validator

from mfas.core import Label
from mfas.data.importers._lists import as_name, read_lines
from mfas.data.importers._videos import VIDEOS, VideoImporter, VideoOptions
from mfas.data.importers.contract import Item, Skip, Where
from mfas.data.importers.registry import register

_PARTS = {"Train": "train", "Dev": "validation", "Test": "test"}
_NAME = re.compile(r"(\d)_(\d)_(\d{2})_(\d)")
_KIND = {"1": "", "2": "print_1", "3": "print_2", "4": "display_1", "5": "display_2"}
PROTOCOLS = ("1", "2", *(f"{p}_{k}" for p in (3, 4) for k in range(1, 7)))


@register("oulu_npu")
class OuluNpu(VideoImporter):
    """``protocol``: empty = every video by its folder; 1, 2, 3_1 to 3_6, 4_1 to 4_6 = the lists of ``Protocols``."""

    title = "OULU-NPU"
    species: ClassVar[Mapping[str, str]] = {
        "print_1": "print_flat",
        "print_2": "print_flat",
        "display_1": "replay_lcd",
        "display_2": "replay_lcd",
    }

    class Options(VideoOptions):
        """``protocol`` as above."""

        protocol: str = ""

        @field_validator("protocol", mode="before")
        @classmethod
        def _text(cls, value: object) -> object:
            return as_name(value, PROTOCOLS)

        @field_validator("protocol")
        @classmethod
        def _known(cls, value: str) -> str:
            if value and value not in PROTOCOLS:
                raise ValueError(f"expected one of {', '.join(PROTOCOLS)}, got '{value}'")
            return value

    def scan(self) -> Iterator[Item | Skip]:
        """One item per video."""
        for part, split in _PARTS.items():
            folder = self.expect(f"{part}_files", folder=True)
            videos = {p.stem: p for p in sorted(folder.iterdir()) if p.suffix.lower() in VIDEOS}
            if not self.options.protocol:
                self.seen.append(self.relative(folder))
                for path in videos.values():
                    yield self._item(Where(self.relative(path)), path, split)
                continue
            for where, truth, name in self._listed(part):
                if name not in videos:
                    yield Skip(where, "missing", f"no video {name} in {part}_files")
                    continue
                item = self._item(where, videos[name], split)
                if isinstance(item, Item) and (item.label is Label.BONA_FIDE) != (truth == "+1"):
                    yield Skip(where, "line", f"expected label {item.label} as the name {name} says, got {truth}")
                else:
                    yield item

    def _listed(self, part: str) -> Iterator[tuple[Where, str, str]]:
        number, _, fold = self.options.protocol.partition("_")
        path = self.expect(f"Protocols/Protocol_{number}/{part}{'_' + fold if fold else ''}.txt")
        self.seen.append(self.relative(path))
        for line, text in read_lines(path):
            truth, _, name = text.partition(",")
            yield Where(self.relative(path), line), truth.strip(), name.strip()

    def _item(self, where: Where, path: Path, split: str) -> Item | Skip:
        name = _NAME.fullmatch(path.stem)
        if name is None or name[4] not in _KIND:
            return Skip(where, "folder", f"expected a name PHONE_SESSION_USER_FILE, got '{path.name}'")
        kind = _KIND[name[4]]
        label = Label.ATTACK if kind else Label.BONA_FIDE
        return Item(
            where,
            self.relative(path),
            label,
            split,
            kind,
            subject=name[3],
            session=f"{name[1]}_{name[2]}",
            payload=path,
        )
