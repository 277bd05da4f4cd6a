"""A manifest in parts of a few rows, so that its length costs no memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mfas.data._columns import iterate_table, number_column
from mfas.data._manifest_rules import COLUMNS, Rules, find_faults, normalise
from mfas.data.manifest import Manifest, read_manifest
from mfas.data.scores import check_presentations
from mfas.errors import ManifestError

_BLOCK = 16_384
"""Rows that are read at once."""


def count_checked(path: Path) -> int:
    """Check a manifest as `read_manifest` does, and that each presentation has one subject; returns its rows.

    What must hold across the table is looked at in hashes, 40 bytes a row. Raises `ManifestError`, `ScoreError`.
    """
    across, blank, count = _Across(), 0, 0
    for raw in iterate_table(path, "manifest", ManifestError, _BLOCK):
        fixed, faults = normalise(raw)
        if faults or find_faults(fixed, Rules()):
            return _read_whole(path)
        across.add(fixed)
        blank += _without_time(raw)
        count += len(fixed)
    if not across.sound() or 0 < blank < count:
        return _read_whole(path)
    return count


def manifest_parts(path: Path, rows: int) -> Iterator[Manifest]:
    """The manifest at ``path``, once checked, in parts of ``rows`` rows (the last may be smaller), in order.

    Each holds the columns of `COLUMNS` only, in memory of its own. ``timestamp``, where absent, counts anew in places.
    """
    held: list[pa.Table] = []
    count = 0
    for raw in iterate_table(path, "manifest", ManifestError, _BLOCK):
        fixed, faults = normalise(raw)
        if faults:
            raise ManifestError(f"{path}: {faults[0]}")
        held.append(fixed.select(list(COLUMNS)))
        count += len(fixed)
        if count >= rows:
            joined = pa.concat_tables(held)
            whole = count - count % rows
            for start in range(0, whole, rows):
                yield _part(joined, start, rows, path.parent)
            held, count = [joined.slice(whole)], count - whole
    if count:
        yield _part(pa.concat_tables(held), 0, count, path.parent)


class _Across:
    """What single rows do not show: a capture named twice, a presentation or a subject at odds with itself."""

    def __init__(self) -> None:
        self._captures: list[NDArray[np.int64]] = []
        self._pairs: dict[str, list[NDArray[np.int64]]] = {"presentation_id": [], "subject": []}

    def add(self, table: pa.Table) -> None:
        """Take in the rows of one block."""
        self._captures.append(_hashes(table, "capture_id"))
        facts = {"presentation_id": ("label", "species", "subject", "split"), "subject": ("split",)}
        for key, names in facts.items():
            named = table.filter(pc.not_equal(table.column(key), ""))
            pairs = np.stack([_hashes(named, key), _hashes(named, *names)], axis=1)
            self._pairs[key].append(np.unique(pairs, axis=0))

    def sound(self) -> bool:
        """Whether nothing is at odds; false also where two hashes are equal by chance."""
        captures = np.concatenate(self._captures) if self._captures else np.zeros(0, np.int64)
        if len(np.unique(captures)) != len(captures):
            return False
        for blocks in self._pairs.values():
            pairs = np.unique(np.concatenate(blocks), axis=0) if blocks else np.zeros((0, 2), np.int64)
            if len(np.unique(pairs[:, 0])) != len(pairs):
                return False
        return True


def _hashes(table: pa.Table, *names: str) -> NDArray[np.int64]:
    columns = [table.column(name).to_pylist() for name in names]
    return np.fromiter((hash(cells) for cells in zip(*columns, strict=True)), np.int64, len(table))


def _without_time(raw: pa.Table) -> int:
    times, _, _ = number_column(raw, "timestamp")
    return int(pc.sum(pc.is_nan(times)).as_py() or 0)


def _read_whole(path: Path) -> int:
    """Something is wrong (or looks so): the whole table says what, as it does everywhere else."""
    manifest = read_manifest(path)
    check_presentations(manifest.table, str(path))
    return len(manifest)


def _part(table: pa.Table, start: int, rows: int, root: Path) -> Manifest:
    # taken, not sliced: a slice would be sent to another process with all that it was cut from
    return Manifest(table.take(pa.array(np.arange(start, start + rows))).combine_chunks(), root)
