"""CASIA-SURF: the challenge's phases, or the protocol lists of its authors. Every image is an 8-bit JPEG."""

from __future__ import annotations

from collections.abc import Iterator

from mfas.core import Modality
from mfas.data.importers._casia_lists import listed_frames
from mfas.data.importers._depth import NearBright
from mfas.data.importers._frames import FrameRule
from mfas.data.importers._lists import LIVE_IS_1, label_of, read_fields
from mfas.data.importers._surf import SURF_SPECIES, surf_item
from mfas.data.importers._twins import by_modality
from mfas.data.importers.contract import Importer, Item, Skip
from mfas.data.importers.registry import register

_CHALLENGE = (
    ("phase1", ("train_list.txt",), "train"),
    ("phase1", ("val_private_list.txt", "val_public_list.txt"), "validation"),
    ("phase2", ("test_private_list.txt", "test_public_list.txt"), "test"),
)


@register("casia_surf")
class CasiaSurf(Importer):
    """Lists of the challenge (``phase1``, ``phase2``; 1 = live), else those of the protocol release (0 = live).

    A public list, without labels, is read where the private one is not there.
    """

    title = "CASIA-SURF"
    species = SURF_SPECIES

    class Options(NearBright):
        """``frames`` of each clip, for lists that name clips."""

        frames: FrameRule = FrameRule()

    def scan(self) -> Iterator[Item | Skip]:
        """One item per list line, or per chosen frame of a listed clip."""
        if (self.root / "phase1").is_dir():
            yield from self._challenge()
            return
        for entry in listed_frames(self, "CASIA_SURF@p1_{kind}_{part}.txt", self.options.frames):
            if isinstance(entry, Skip):
                yield entry
            else:
                where, label, split, _, files = entry
                yield surf_item(where, label, split, {m: self.relative(path) for m, path in files.items()}, files)

    def _challenge(self) -> Iterator[Item | Skip]:
        for phase, names, split in _CHALLENGE:
            path = self.expect(*(f"{phase}/{name}" for name in names))
            self.seen.append(self.relative(path))
            for entry in read_fields(path, self.relative(path), 3, 4):
                if isinstance(entry, Skip):
                    yield entry
                    continue
                where, fields = entry
                label = label_of(fields[3], LIVE_IS_1, where) if len(fields) == 4 else None
                found = by_modality(fields[:3])
                if isinstance(label, Skip):
                    yield label
                elif isinstance(found, str):
                    yield Skip(where, "line", found)
                else:
                    paths = {m: f"{phase}/{found[m]}" for m in Modality}
                    yield surf_item(where, label, split, paths, {m: self.root / cell for m, cell in paths.items()})
