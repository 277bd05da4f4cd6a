"""WMCA, preprocessed: HDF5 recordings of grey, depth, infrared and thermal (CDIT) and of colour (RGB)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import replace

from pydantic import field_validator

from mfas.core import Label
from mfas.data.importers._depth import FarBright
from mfas.data.importers._frames import FrameRule, pick_frames
from mfas.data.importers._lists import SPLIT_OF
from mfas.data.importers._wmca import (
    CDIT_FOLDERS,
    RGB_FOLDERS,
    WMCA_SPECIES,
    Recording,
    count_frames,
    find_recordings,
    read_frames,
    wmca_name,
)
from mfas.data.importers.contract import Frame, Importer, Item, Skip, Where
from mfas.data.importers.registry import register
from mfas.errors import InputError

LEFT_OUT = ("fakehead", "flexiblemask", "glasses", "papermask", "prints", "replay", "rigidmask")
PROTOCOLS = ("grandtest", *(f"LOO_{name}" for name in LEFT_OUT))
_TRUTH = {"bonafide": Label.BONA_FIDE, "bona_fide": Label.BONA_FIDE, "attack": Label.ATTACK}


@register("wmca")
class Wmca(Importer):
    """``protocol`` names a ``PROTOCOL-….csv``. The truth is in the recording's name; a label column must agree.

    Depth is stretched to 8 bit per recording (median absolute deviation): far is bright, and it has no unit.
    """

    title = "WMCA"
    species = WMCA_SPECIES

    class Options(FarBright):
        """``grey_as_rgb``: the set without its RGB part; the grey plane then stands for colour."""

        protocol: str = "grandtest"
        frames: FrameRule = FrameRule()
        grey_as_rgb: bool = False

        @field_validator("protocol")
        @classmethod
        def _known(cls, value: str) -> str:
            if value not in PROTOCOLS:
                raise ValueError(f"expected one of {', '.join(PROTOCOLS)}, got '{value}'")
            return value

    def scan(self) -> Iterator[Item | Skip]:
        """One item per recording of the protocol."""
        cdit = find_recordings(self.root, CDIT_FOLDERS)
        if not cdit:
            raise InputError(f"{self.root}: expected recordings in {' or '.join(CDIT_FOLDERS)}, found none")
        rgb = find_recordings(self.root, RGB_FOLDERS)
        if not rgb and not self.options.grey_as_rgb:
            raise InputError(
                f"{self.root}: expected recordings in {' or '.join(RGB_FOLDERS)}, found none; without the RGB part, "
                "set options.grey_as_rgb=true"
            )
        name = f"PROTOCOL-{self.options.protocol}.csv"
        path = self.expect(name, f"protocols/{name}", f"WMCA/{name}")
        self.seen.append(self.relative(path))
        with path.open(encoding="utf-8-sig", newline="") as handle:
            for number, cells in enumerate(csv.reader(handle), start=1):
                entry = self._entry(Where(self.relative(path), number), cells)
                if isinstance(entry, Item):
                    colour = None if self.options.grey_as_rgb else rgb.get(entry.key)
                    if entry.key not in cdit or not (colour or self.options.grey_as_rgb):
                        yield Skip(entry.where, "missing", f"expected CDIT and RGB recordings of {entry.key}")
                        continue
                    yield replace(entry, payload=Recording(cdit[entry.key], colour))
                elif entry is not None:
                    yield entry

    def read(self, item: Item) -> Iterable[Frame]:
        """Chosen frames of the recording."""
        there = count_frames(item.payload.cdit)
        wanted = [there[i] for i in pick_frames(len(there), self.options.frames)]
        return (Frame(images, number) for number, images in read_frames(item.payload, wanted))

    def _entry(self, where: Where, cells: list[str]) -> Item | Skip | None:
        """A row has the recording's path in one column and its part in another; the header has neither."""
        names = [found for found in map(wmca_name, cells) if found]
        parts = [SPLIT_OF[cell.strip()] for cell in cells if cell.strip() in SPLIT_OF]
        if not names and not parts and where.line == 1:
            return None
        if len(names) != 1 or len(parts) != 1:
            return Skip(where, "line", f"expected one recording and train, dev or eval, got '{','.join(cells)[:120]}'")
        name = names[0]
        told = [_TRUTH[cell] for cell in cells if cell in _TRUTH]
        if told and told[0] is not name.label:
            return Skip(where, "line", f"expected label {name.label} as the name {name.name} says, got {told[0]}")
        return Item(
            where,
            name.name,
            name.label,
            parts[0],
            name.species,
            subject=name.client,
            presenter=name.presenter,
            session=name.session,
        )
