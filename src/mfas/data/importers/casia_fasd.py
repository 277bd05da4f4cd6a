"""CASIA-FASD: videos of warped and cut photographs and of screens, RGB only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from mfas.core import Label
from mfas.data.importers._lists import held_out
from mfas.data.importers._videos import VIDEOS, VideoImporter, VideoOptions
from mfas.data.importers.contract import Item, Skip, Where
from mfas.data.importers.registry import register

_KIND = {
    **dict.fromkeys(("1", "2", "HR_1"), ""),
    **dict.fromkeys(("3", "4", "HR_2"), "warped_photo"),
    **dict.fromkeys(("5", "6", "HR_3"), "cut_photo"),
    **dict.fromkeys(("7", "8", "HR_4"), "video"),
}
_FOLDERS = {"train": ("train_release", "train"), "test": ("test_release", "test")}


@register("casia_fasd")
class CasiaFasd(VideoImporter):
    """``train_release`` and ``test_release``, a folder per person, twelve videos each.

    The set has no development part: one person in five of the train part goes to validation, by a hash.
    """

    title = "CASIA-FASD"
    species: ClassVar[Mapping[str, str]] = {
        "warped_photo": "print_curved",
        "cut_photo": "print_cut",
        "video": "replay_lcd",
    }

    class Options(VideoOptions):
        """``validation``: whether people are taken from the train part for it."""

        validation: bool = True

    def scan(self) -> Iterator[Item | Skip]:
        """One item per video."""
        for part, names in _FOLDERS.items():
            folder = self.expect(*names, folder=True)
            self.seen.append(self.relative(folder))
            for path in sorted(p for p in folder.glob("*/*") if p.suffix.lower() in VIDEOS):
                key, person = self.relative(path), path.parent.name
                if path.stem not in _KIND or not person.isdecimal():
                    yield Skip(Where(key), "folder", f"expected NUMBER/1 to 8 or HR_1 to HR_4, got '{key}'")
                    continue
                kind = _KIND[path.stem]
                split = part
                if part == "train" and self.options.validation and held_out(person):
                    split = "validation"
                # the two parts number their people alike
                subject = f"{part}-{person}"
                label = Label.ATTACK if kind else Label.BONA_FIDE
                yield Item(Where(key), key, label, split, kind, subject=subject, payload=path)

    def notes(self) -> list[str]:
        """Folders read, and that validation is ours."""
        own = ["validation: one person in five of the train part, by a hash"] if self.options.validation else []
        return super().notes() + own
