"""CASIA-SURF CeFA: protocols 1 to 4 with their lists, the challenge's phases, or the whole set by person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import field_validator

from mfas.core import Modality
from mfas.data.importers._casia_lists import listed_frames
from mfas.data.importers._cefa import CEFA_SPECIES, cefa_name, cefa_split, read_bordered
from mfas.data.importers._depth import NearBright
from mfas.data.importers._frames import FrameRule
from mfas.data.importers._lists import LIVE_IS_1, as_name, label_of, read_fields
from mfas.data.importers._twins import clip_frames
from mfas.data.importers.contract import Frame, Importer, Item, Skip, Where
from mfas.data.importers.registry import register

PROTOCOLS = ("1.1", "1.3", "1.5", "2.1", "2.2", "4.1", "4.3", "4.5")
CHALLENGE = ("4@1", "4@2", "4@3")
_RACES = ("Ethnicity", "CeFA-Race", "CASIA_CeFA/Ethnicity", "CeFA/CeFA-Race", ".")
_MASKS = ("Mask", "CeFA-Mask", "CASIA_CeFA/Mask", "CeFA/CeFA-Mask")


@register("cefa")
class Cefa(Importer):
    """Three ways, by ``protocol``.

    Empty = every clip of the full release, split by the person's number; 1.1 to 4.5 = lists of the full release
    (0 = live); 4@1 to 4@3 = lists of the challenge (1 = live).
    """

    title = "CASIA-SURF CeFA"
    species: ClassVar[Mapping[str, str]] = {**CEFA_SPECIES, "unnamed": "unknown"}

    class Options(NearBright):
        """``frames`` of each clip."""

        protocol: str = ""
        frames: FrameRule = FrameRule()

        @field_validator("protocol", mode="before")
        @classmethod
        def _text(cls, value: object) -> object:
            return as_name(value, PROTOCOLS)

        @field_validator("protocol")
        @classmethod
        def _known(cls, value: str) -> str:
            if value and value not in (*PROTOCOLS, *CHALLENGE):
                raise ValueError(f"expected one of {', '.join((*PROTOCOLS, *CHALLENGE))}, got '{value}'")
            return value

    def scan(self) -> Iterator[Item | Skip]:
        """One item per chosen frame."""
        protocol = self.options.protocol
        if protocol in CHALLENGE:
            return self._challenge(protocol)
        return self._listed(protocol) if protocol else self._walk()

    def read(self, item: Item) -> Iterable[Frame]:
        """The images, with a box inside their black border."""
        return read_bordered(item, self.depth_kind)

    def _listed(self, protocol: str) -> Iterator[Item | Skip]:
        pattern = f"CASIA_CeFA@p{protocol}_{{kind}}_{{part}}.txt"
        for entry in listed_frames(self, pattern, self.options.frames):
            if isinstance(entry, Skip):
                yield entry
                continue
            where, label, split, number, files = entry
            item = self._item(where, split, number, files)
            if isinstance(item, Item) and item.label is not label:
                yield Skip(where, "line", f"expected label {item.label} as the folder's name says, got {label}")
            else:
                yield item

    def _item(self, where: Where, split: str, number: int, files: dict[Modality, Path]) -> Item | Skip:
        path = self.relative(files[Modality.RGB])
        name = cefa_name(path)
        if name is None:
            return Skip(where, "folder", f"expected a clip named RACE_ID_DEVICE_SESSION_PAI or a mask's, got '{path}'")
        return Item(
            where,
            path,
            name.label,
            split,
            name.species,
            presentation=name.clip,
            subject=name.subject,
            session=name.session,
            number=number,
            files=files,
        )

    def _walk(self) -> Iterator[Item | Skip]:
        races = self.expect(*(f"{name}/{race}" for name in _RACES for race in ("AF", "CA", "EA")), folder=True).parent
        masks = next((self.root / name for name in _MASKS if (self.root / name).is_dir()), None)
        self.seen.append(self.relative(races) + (f", {self.relative(masks)}" if masks else " (no masks found)"))
        clips = [clip for race in ("AF", "CA", "EA") for clip in sorted((races / race).glob("*/*")) if clip.is_dir()]
        clips += [clip for clip in sorted(masks.glob("*/*/*")) if clip.is_dir()] if masks else []
        for clip in clips:
            where = Where(self.relative(clip))
            name = cefa_name(where.file)
            split = cefa_split(name.subject) if name else None
            if name is None or split is None:
                yield Skip(where, "folder", f"expected a clip named RACE_ID_DEVICE_SESSION_PAI, got '{where.file}'")
                continue
            found = list(clip_frames(clip, self.options.frames))
            if not found:
                yield Skip(where, "missing", "no frames found in the folder color or profile")
            for number, files in found:
                yield self._item(where, split, number, files)

    def _challenge(self, protocol: str) -> Iterator[Item | Skip]:
        parts = (
            ("train", f"{protocol}_train.txt"),
            ("validation", f"{protocol}_dev_ref.txt"),
            ("test", f"{protocol}_test_res.txt"),
        )
        for split, name in parts:
            path = self.expect(*(f"{folder}{name}" for folder in ("", "phase1/", "phase2/")))
            self.seen.append(self.relative(path))
            for entry in read_fields(path, self.relative(path), 1, 2):
                if isinstance(entry, Skip):
                    yield entry
                    continue
                where, fields = entry
                label = label_of(fields[1], LIVE_IS_1, where) if len(fields) == 2 else None
                if isinstance(label, Skip):
                    yield label
                    continue
                yield from self._challenge_frames(where, path.parent / fields[0], split, label)

    def _challenge_frames(self, where: Where, target: Path, split: str, label: object) -> Iterator[Item | Skip]:
        """A line names a frame (train) or a clip (dev and test, whose names tell nothing)."""
        clip = target.parent.parent if target.suffix else target
        found = list(clip_frames(clip, self.options.frames))
        if target.suffix:
            found = [(n, f) for n, f in clip_frames(clip, FrameRule(count=0)) if f[Modality.RGB] == target]
        if not found:
            yield Skip(where, "missing", f"no frames found for {self.relative(target)}")
        for number, files in found:
            key = self.relative(files[Modality.RGB])
            name = cefa_name(key)
            told = name.label if name else label
            if name and label is not None and name.label is not label:
                yield Skip(where, "line", f"expected label {name.label} as the folder's name says, got {label}")
                continue
            species = name.species if name else "unnamed" if label == "attack" else ""
            yield Item(
                where,
                key,
                told,  # type: ignore[arg-type]
                split,
                species,
                presentation=self.relative(clip),
                subject=name.subject if name else "",
                number=number,
                files=files,
            )
