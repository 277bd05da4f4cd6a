"""A convention for one's own captures: ``SPLIT/live|SPECIES/SUBJECT/CLIP/{rgb,depth,ir}/FRAME.png``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Literal

from mfas.config import Config
from mfas.core import Label, Modality
from mfas.data.importers._lists import SPLIT_OF
from mfas.data.importers._stored import check_file
from mfas.data.importers.contract import Frame, Importer, Item, Skip, Where
from mfas.data.importers.registry import register
from mfas.data.species import SPECIES
from mfas.errors import InputError

_IMAGES = (".png", ".jpg", ".jpeg", ".webp")


@register("folder")
class Folder(Importer):
    """``live`` holds bona fide captures, any other folder at that level an attack species.

    A clip without the folder of a modality lacks it; a frame that is missing in a folder that is there is a fault.
    """

    title = "the folder convention"
    species: ClassVar[Mapping[str, str]] = dict(zip(SPECIES, SPECIES, strict=True))
    modalities: ClassVar[tuple[Modality, ...]] = ()

    class Options(Config):
        """``box``: ``full`` = images are crops of a face, empty = the face is to be found later."""

        box: Literal["", "full"] = ""
        depth_kind: Literal["metric", "relative_near_bright", "relative_far_bright"] = "metric"

    def scan(self) -> Iterator[Item | Skip]:
        """One item per frame."""
        parts = [part for part in sorted(self.root.iterdir()) if part.is_dir()] if self.root.is_dir() else []
        if not any(part.name in SPLIT_OF for part in parts):
            raise InputError(f"{self.root}: expected folders train, validation or test, found none")
        for part in parts:
            if part.name not in SPLIT_OF:
                yield Skip(Where(part.name), "folder", f"expected train, validation or test, got '{part.name}'")
                continue
            self.seen.append(part.name)
            for clip in sorted(path for path in part.glob("*/*/*") if path.is_dir()):
                yield from self._clip(clip, SPLIT_OF[part.name])

    def read(self, item: Item) -> Iterable[Frame]:
        """Each image, decoded once."""
        for modality, path in item.files.items():
            check_file(path, modality, self.depth_kind)
        yield Frame(item.files, item.number, self.options.box)

    def _clip(self, clip: Path, split: str) -> Iterator[Item | Skip]:
        kind, subject = clip.parent.parent.name, clip.parent.name
        folders = {m: clip / m.value for m in Modality if (clip / m.value).is_dir()}
        stray = [p.name for p in clip.iterdir() if p.name not in {m.value for m in Modality}]
        if stray or not folders:
            got = f"'{stray[0]}'" if stray else "none"
            yield Skip(Where(self.relative(clip)), "folder", f"expected folders rgb, depth or ir, got {got}")
            return
        images = {
            m: {p.stem: p for p in sorted(f.iterdir()) if p.suffix.lower() in _IMAGES} for m, f in folders.items()
        }
        for index, frame in enumerate(sorted({name for found in images.values() for name in found})):
            key = f"{self.relative(clip)}/{frame}"
            lacking = [m for m, found in images.items() if frame not in found]
            if lacking:
                yield Skip(Where(key), "missing", f"expected frame {frame} in {lacking[0]} too")
                continue
            live = kind == "live"
            yield Item(
                Where(key),
                key,
                Label.BONA_FIDE if live else Label.ATTACK,
                split,
                "" if live else kind,
                presentation=self.relative(clip),
                subject=subject,
                number=int(frame) if frame.isdecimal() else index,
                files={m: found[frame] for m, found in images.items()},
            )
