"""The lists of the MMDG benchmark and of the flexible-modal benchmark, over the folders of four sets.

A line's path says which set it is of, so that one reader serves every list: ``CASIA-SURF-CROP/…``, ``CeFA/…``,
``WMCA-Image/R_CDIT/<id>/color/0012.jpg``, ``<trial>.npz``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from mfas.config import Config
from mfas.core import UNKNOWN_SPECIES, Label, Modality
from mfas.data.images import FAR_BRIGHT, NEAR_BRIGHT
from mfas.data.importers._cefa import CEFA_SPECIES, cefa_name, read_bordered
from mfas.data.importers._lists import LIVE_IS_1, label_of, read_csv, read_fields
from mfas.data.importers._padisi import BONA_FIDE, PADISI_SPECIES, read_planes, trial_of
from mfas.data.importers._surf import SURF_SPECIES, surf_item
from mfas.data.importers._twins import by_modality
from mfas.data.importers._wmca import (
    CDIT_FOLDERS,
    RGB_FOLDERS,
    WMCA_SPECIES,
    Recording,
    find_recordings,
    read_frames,
    wmca_name,
)
from mfas.data.importers.contract import Frame, Importer, Item, Skip, Where
from mfas.data.importers.registry import register

_FOLDER = {"flex": "FlexModal_Protocols", "flex_wmca": "FlexModal_Protocols"}
_LISTS = {
    "flex": {part: f"CASIA-SURF_CeFA_{part}.txt" for part in ("train", "val", "test")},
    "flex_wmca": {"test": "WMCA_test.txt"},
}
_SPELLINGS = (
    ("CeFA/CeFA-Race/", ("CeFA-Race/", "CASIA_CeFA/Ethnicity/", "Ethnicity/")),
    ("CeFA/CeFA-Mask/", ("CeFA-Mask/", "CASIA_CeFA/Mask/", "Mask/")),
    ("CASIA-SURF-CROP/", ("CASIA_SURF/CASIA-SURF-CROP/", "")),
)
_GROUND_TRUTH = "padisi_USC_FACE_ground_truth.csv"


@register("mmdg")
class Mmdg(Importer):
    """``set``: C, P, S, W of the MMDG benchmark; ``flex`` (CASIA-SURF with CeFA) and ``flex_wmca`` of the other.

    Lists lie in ``MMDG-Benchmark`` or ``FlexModal_Protocols`` below the root, or at the root. W lines name exported
    images; where those are not there, the frames are taken out of the native HDF5 recordings. P lines name arrays;
    people and species come from the set's ground truth, if it is there.
    """

    title = "the MMDG benchmark"
    species: ClassVar[Mapping[str, str]] = {
        **SURF_SPECIES,
        **CEFA_SPECIES,
        **WMCA_SPECIES,
        **PADISI_SPECIES,
        "attack": UNKNOWN_SPECIES,
    }

    class Options(Config):
        """``first_frame``: the number that the lists give to ``Frame_0`` of a recording."""

        set: Literal["C", "P", "S", "W", "flex", "flex_wmca"]
        depth_kind: Literal["", "relative_near_bright", "relative_far_bright"] = ""
        first_frame: int = 0
        grey_as_rgb: bool = False

    @property
    def depth_kind(self) -> str:
        """By the set, unless it is told."""
        told: str = self.options.depth_kind
        return told or (FAR_BRIGHT if self.options.set in ("P", "W", "flex_wmca") else NEAR_BRIGHT)

    @property
    def site(self) -> str:
        """The set's letter."""
        return f"{self.name}_{self.options.set}"

    def scan(self) -> Iterator[Item | Skip]:
        """One item per line."""
        chosen = self.options.set
        lists = _LISTS.get(chosen, {part: f"{chosen}-{part}.txt" for part in ("train", "val", "test")})
        for part, name in lists.items():
            path = self.expect(f"{_FOLDER.get(chosen, 'MMDG-Benchmark')}/{name}", name)
            self.seen.append(self.relative(path))
            split = {"train": "train", "val": "validation", "test": "test"}[part]
            for entry in read_fields(path, self.relative(path), 2 if chosen == "P" else 4):
                if isinstance(entry, Skip):
                    yield entry
                    continue
                where, fields = entry
                label = label_of(fields[-1], LIVE_IS_1, where)
                yield label if isinstance(label, Skip) else self._item(where, split, label, fields[:-1])

    def read(self, item: Item) -> Iterable[Frame]:
        """Images, a frame of a recording, or the planes of an array."""
        if isinstance(item.payload, Path):
            return [Frame(read_planes(item.payload), item.number)]
        if item.payload is not None:
            recording, number = item.payload
            return [Frame(images, item.number) for _, images in read_frames(recording, [number])]
        if cefa_name(item.key):
            return read_bordered(item, self.depth_kind)
        return super().read(item)

    def _item(self, where: Where, split: str, label: Label, cells: list[str]) -> Item | Skip:
        if self.options.set == "P":
            return self._array(where, split, label, Path(cells[0]).stem)
        paths = by_modality(cells)
        if isinstance(paths, str):
            return Skip(where, "line", paths)
        paths = {m: paths[m] for m in Modality}
        first = paths[Modality.RGB]
        if wmca_name(first):
            return self._recorded(where, split, label, paths)
        files = {m: self._resolve(cell) for m, cell in paths.items()}
        name = cefa_name(first)
        if name is None:
            return surf_item(where, label, split, paths, files)
        if name.label is not label:
            return Skip(where, "line", f"expected label {name.label} as the folder's name says, got {label}")
        number = int(Path(first).stem) if Path(first).stem.isdecimal() else 0
        return Item(
            where, first, label, split, name.species, name.clip, name.subject, "", name.session, "", number, files
        )

    def _resolve(self, cell: str) -> Path:
        if (self.root / cell).exists():
            return self.root / cell
        for spelling, others in _SPELLINGS:
            for other in others if cell.startswith(spelling) else ():
                name = cell.replace(spelling, other, 1)
                for path in (self.root / name, self.root / name.replace("/profile/", "/color/")):
                    if path.exists():
                        return path
        return self.root / cell

    def _recorded(self, where: Where, split: str, label: Label, paths: Mapping[Modality, str]) -> Item | Skip:
        name = wmca_name(paths[Modality.RGB])
        assert name is not None
        if name.label is not label:
            return Skip(where, "line", f"expected label {name.label} as the name {name.name} says, got {label}")
        number = int(Path(paths[Modality.RGB]).stem)
        files: dict[Modality, Path] = {}
        payload: object = None
        if (self.root / "WMCA-Image").is_dir():
            files = {m: self.root / cell for m, cell in paths.items()}
        else:
            if len({Path(cell).stem for cell in paths.values()}) > 1:
                return Skip(
                    where, "line", f"expected one frame number for all modalities, got {', '.join(paths.values())}"
                )
            cdit, rgb = self._recordings
            if name.name not in cdit or (name.name not in rgb and not self.options.grey_as_rgb):
                return Skip(where, "missing", f"expected WMCA-Image, or CDIT and RGB recordings of {name.name}")
            recording = Recording(cdit[name.name], None if self.options.grey_as_rgb else rgb[name.name])
            payload = (recording, number - self.options.first_frame)
        return Item(
            where,
            paths[Modality.RGB],
            label,
            split,
            name.species,
            name.name,
            name.client,
            name.presenter,
            name.session,
            "",
            number,
            files,
            payload,
        )

    def _array(self, where: Where, split: str, label: Label, trial: str) -> Item | Skip:
        if trial not in self._arrays:
            return Skip(where, "missing", f"no array found of trial {trial}")
        facts = self._truth.get(trial)
        subject = facts["participant_id"] if facts else ""
        code = facts["ground_truth"] if facts else "" if label is Label.BONA_FIDE else "attack"
        if facts and (code == BONA_FIDE) != (label is Label.BONA_FIDE):
            return Skip(where, "line", f"expected the label of ground truth {code}, got {label}")
        species = code if label is Label.ATTACK else ""
        return Item(where, trial, label, split, species, subject=subject, payload=self._arrays[trial])

    @cached_property
    def _arrays(self) -> dict[str, Path]:
        return {trial_of(path): path for path in sorted(self.root.rglob("*.npz"))}

    @cached_property
    def _truth(self) -> dict[str, Mapping[str, str]]:
        path = next(iter(sorted(self.root.rglob(_GROUND_TRUTH))), None)
        if path is None:
            return {}
        self.seen.append(self.relative(path))
        return {
            row["trial_id"]: row for _, row in read_csv(path, path.name, "trial_id", "ground_truth", "participant_id")
        }

    @cached_property
    def _recordings(self) -> tuple[dict[str, Path], dict[str, Path]]:
        return find_recordings(self.root, CDIT_FOLDERS), find_recordings(self.root, RGB_FOLDERS)
