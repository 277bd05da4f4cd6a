"""PADISI-Face, the multi-spectral part: one NumPy array per capture, ground truth and folds as CSV."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from pydantic import field_validator

from mfas.core import Label
from mfas.data.importers._depth import FarBright
from mfas.data.importers._lists import SPLIT_OF, as_name, read_csv
from mfas.data.importers._padisi import BONA_FIDE, PADISI_SPECIES, read_planes, trial_of
from mfas.data.importers.contract import Frame, Importer, Item, Skip, Where
from mfas.data.importers.registry import register
from mfas.errors import InputError

_CSV_FOLDERS = ("", "data/face_partitions/", "face_partitions/")


@register("padisi")
class Padisi(Importer):
    """``fold`` chooses the partition; arrays (``.npz`` or ``.npy``) may lie anywhere below the root.

    The archive of the COLOUR part is a pickle and is not read.
    """

    title = "PADISI-Face"
    species = PADISI_SPECIES

    class Options(FarBright):
        """``fold``: ``0``, ``1``, ``2``, or ``all_test``."""

        fold: Literal["0", "1", "2", "all_test"] = "0"

        @field_validator("fold", mode="before")
        @classmethod
        def _text(cls, value: object) -> object:
            return as_name(value, ("0", "1", "2"))

    def scan(self) -> Iterator[Item | Skip]:
        """One item per row of the partition."""
        part = "all_test" if self.options.fold == "all_test" else f"3folds_part{self.options.fold}"
        truth = self._csv("padisi_USC_FACE_ground_truth.csv", "trial_id", "ground_truth", "participant_id")
        facts = {row["trial_id"]: row for _, row in truth}
        arrays = {trial_of(path): path for suffix in ("npy", "npz") for path in sorted(self.root.rglob(f"*.{suffix}"))}
        if not arrays:
            raise InputError(
                f"{self.root}: expected the multi-spectral arrays ID_….npz, found none (the COLOUR archive is a pickle "
                "and is not read)"
            )
        name = f"padisi_USC_FACE_dataset_partition_{part}.csv"
        for where, row in self._csv(name, "trial_id", "partition_name", "transaction_id"):
            trial, split = row["trial_id"], SPLIT_OF.get(row["partition_name"])
            if split is None or trial not in facts:
                what = f"a ground truth of {trial}" if split else "train, valid or test"
                yield Skip(where, "line", f"expected {what}, got '{','.join(row.values())[:120]}'")
            elif trial not in arrays:
                yield Skip(where, "missing", f"no array found of trial {trial}")
            else:
                code = facts[trial]["ground_truth"]
                live = code == BONA_FIDE
                yield Item(
                    where,
                    trial,
                    Label.BONA_FIDE if live else Label.ATTACK,
                    split,
                    "" if live else code,
                    subject=facts[trial]["participant_id"],
                    session=row["transaction_id"],
                    payload=arrays[trial],
                )

    def read(self, item: Item) -> Iterable[Frame]:
        """The one capture of an array."""
        yield Frame(read_planes(item.payload))

    def _csv(self, name: str, *columns: str) -> list[tuple[Where, Mapping[str, str]]]:
        path = self.expect(*(folder + name for folder in _CSV_FOLDERS))
        self.seen.append(self.relative(path))
        return list(read_csv(path, self.relative(path), *columns))
