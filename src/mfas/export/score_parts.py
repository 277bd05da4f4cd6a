"""What bulk scoring has finished, kept beside its output until all of it is there."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mfas._files import atomic_path, make_folder, read_json, write_json, write_text
from mfas.core import Outcome
from mfas.data.scores import ScoreTable, write_scores
from mfas.errors import InputError, ScoreError

RUN_FILE = "run.json"
_GROUP = 65_536
"""Rows of a row group of the output: a group per shard would make a long table slow to read."""


class Parts:
    """The folder ``OUT.parts``: one score table per finished shard, and ``run.json``, which says of what run.

    ``identity`` are the facts on which the scores depend, JSON-safe. Every file is written beside its place and then
    renamed, so whatever stands there is whole. With ``records`` the decision records of a shard lie beside its table,
    and are joined to that file.
    """

    def __init__(self, out: Path, identity: dict[str, Any], records: Path | None = None) -> None:
        self.out = out
        self.records = records
        self.folder = out.with_name(f"{out.name}.parts")
        self._identity = identity

    def open(self) -> set[int]:
        """Make the folder, or take up one that a stopped run of equal identity left; returns the finished shards.

        A shard that was scored without records is not finished for a run that wants them.

        Raises `InputError` for a folder of another run: scores that took hours are not thrown away unasked.
        """
        make_folder(self.folder)
        record = self.folder / RUN_FILE
        if not record.is_file():
            if any(not path.name.startswith(".") for path in self.folder.iterdir()):
                raise InputError(
                    f"expected {self.folder} to hold parts of a scoring run, got a folder without {RUN_FILE}"
                )
            write_json(record, self._identity)
        found = read_json(record, "record of a scoring run")
        for name, value in self._identity.items():
            if not isinstance(found, dict) or found.get(name) != value:
                raise InputError(
                    f"{self.folder} holds parts of a run with another {name}: remove it or choose another --out"
                )
        found = {int(path.stem) for path in self.folder.glob("[0-9]*.parquet")}
        return found if self.records is None else {number for number in found if self._lines(number).is_file()}

    def write(self, number: int, scores: ScoreTable, records: Sequence[str] = ()) -> None:
        """Keep a finished shard: its table, which says that it is finished, comes last."""
        if self.records is not None:
            write_text(self._lines(number), "".join(f"{line}\n" for line in records))
        write_scores(scores, self._path(number))

    def join(self, count: int, rows: int) -> int:
        """Write the output out of shards 0 to ``count`` - 1 with ``rows`` rows in all; returns its non-responses."""
        if self.records is not None:
            self._join_records(self.records, count)
        silent = written = 0
        with atomic_path(self.out) as temporary:
            held: list[pa.Table] = []
            writer: pq.ParquetWriter | None = None
            try:
                for number in range(count):
                    table = pq.read_table(self._path(number))
                    silent += table.column("outcome").to_pylist().count(Outcome.NON_RESPONSE.value)
                    written += len(table)
                    held.append(table)
                    if sum(map(len, held)) >= _GROUP or number == count - 1:
                        writer = writer or pq.ParquetWriter(temporary, table.schema, compression="zstd")
                        writer.write_table(pa.concat_tables(held).combine_chunks(), row_group_size=written)
                        held = []
            finally:
                if writer is not None:
                    writer.close()
            if written != rows:
                raise ScoreError(f"expected {rows} rows in {self.folder}, got {written}: the manifest was changed")
        return silent

    def _join_records(self, target: Path, count: int) -> None:
        with atomic_path(target) as temporary, temporary.open("wb") as joined:
            for number in range(count):
                with self._lines(number).open("rb") as part:
                    shutil.copyfileobj(part, joined)

    def clear(self) -> None:
        """Remove the folder, and what a killed run left half-written beside the output."""
        for path in self.folder.glob("[0-9]*.parquet"):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        for target in (self.out, *([] if self.records is None else [self.records])):
            for stale in target.parent.glob(f".{target.stem}.*.part{target.suffix}"):
                stale.unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:07d}.parquet"

    def _lines(self, number: int) -> Path:
        return self.folder / f"{number:07d}.jsonl"
