"""The manifest: one row per capture, as Parquet or CSV. Every data source becomes one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mfas.core import CaptureIds, Label, Modality
from mfas.data._columns import read_table, write_table
from mfas.data._manifest_rules import COLUMNS, SPLITS, Fault, Rules, find_faults, normalise
from mfas.errors import ManifestError

__all__ = ["COLUMNS", "SPLITS", "Manifest", "Row", "read_manifest", "write_manifest"]


@dataclass(frozen=True, slots=True)
class Row:
    """One capture. Paths are cells of the manifest (``""`` = no such image); ``label`` None = not known."""

    index: int
    capture_id: str
    presentation_id: str
    subject: str
    presenter: str
    session: str
    site: str
    split: str
    label: Label | None
    species: str
    rgb: str
    depth: str
    ir: str
    box: str
    frame: int
    timestamp: float
    depth_scale_m: float
    depth_kind: str

    def path(self, modality: Modality) -> str:
        """The image cell of a modality."""
        return {Modality.RGB: self.rgb, Modality.DEPTH: self.depth, Modality.IR: self.ir}[modality]

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What the capture has, in canonical order."""
        return tuple(m for m in Modality if self.path(m))


@dataclass(frozen=True, slots=True)
class Manifest:
    """A checked table of captures and the folder its relative image paths start from.

    ``table`` is a pyarrow table with exactly the columns of `COLUMNS` (further ``x_...`` columns are kept): text, but
    for ``frame`` (int64), ``timestamp`` and ``depth_scale_m`` (float64). Nothing is null.
    """

    table: pa.Table
    root: Path

    @staticmethod
    def from_rows(rows: Iterable[Mapping[str, object]], root: Path, *, require_labels: bool = False) -> Manifest:
        """Build from mappings of column to value; defaults and checks as `read_manifest`."""
        listed = [{k: _plain(v) for k, v in row.items()} for row in rows]
        names = list(dict.fromkeys(key for row in listed for key in row))
        columns = [_column([row.get(name) for row in listed]) for name in names]
        return Manifest.from_table(pa.table(columns, names=names), root, require_labels=require_labels)

    @staticmethod
    def from_table(table: pa.Table, root: Path, *, require_labels: bool = False, origin: str = "manifest") -> Manifest:
        """Apply defaults and check; the first fault becomes a `ManifestError` that names row and column."""
        fixed, faults = check_table(table, Rules(require_labels=require_labels))
        if faults:
            raise ManifestError(f"{origin}: {faults[0]}")
        return Manifest(fixed, root)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[Row]:
        return (self.row(i) for i in range(len(self)))

    def row(self, index: int) -> Row:
        """The capture at ``index``, made on demand."""
        cells = {name: self.table.column(name)[index].as_py() for name in COLUMNS}
        label = Label(cells.pop("label")) if cells["label"] else cells.pop("label") or None
        return Row(index=index, label=label, **cells)

    def column(self, name: str) -> NDArray[Any]:
        """A column as a numpy array (text columns have object type)."""
        values: NDArray[Any] = self.table.column(name).to_numpy()
        return values

    def take(self, index: NDArray[np.integer[Any]] | NDArray[np.bool_]) -> Manifest:
        """The captures at ``index`` (positions or a mask), in that order."""
        keep = np.flatnonzero(index) if index.dtype == np.bool_ else index
        return Manifest(self.table.take(pa.array(keep, pa.int64())), self.root)

    def filter(
        self,
        *,
        split: str | None = None,
        sites: Iterable[str] | None = None,
        labels: Iterable[Label] | None = None,
        species: Iterable[str] | None = None,
    ) -> Manifest:
        """The captures that meet every condition given, in the same order."""
        wanted = {
            "split": None if split is None else [split],
            "site": None if sites is None else list(sites),
            "label": None if labels is None else [label.value for label in labels],
            "species": None if species is None else list(species),
        }
        table = self.table
        for name, values in wanted.items():
            if values is not None:
                table = table.filter(pc.is_in(table.column(name), value_set=pa.array(values, pa.string())))
        return Manifest(table, self.root)

    def in_arrival_order(self) -> Manifest:
        """Sorted by timestamp; captures of the same time keep the order of their rows."""
        return self.take(np.argsort(self.column("timestamp"), kind="stable"))

    def resolve(self, cell: str) -> Path:
        """The file an image cell means: relative to `root`, or absolute as it stands."""
        return self.root / cell

    def subjects(self) -> list[str]:
        """Sorted names of the subjects; captures without one are left out."""
        return sorted(name for name in pc.unique(self.table.column("subject")).to_pylist() if name)

    def counts(self, name: str) -> dict[str, int]:
        """How many captures hold each value of a text column, sorted by value."""
        pairs = pc.value_counts(self.table.column(name)).to_pylist()
        return {pair["values"]: pair["counts"] for pair in sorted(pairs, key=lambda p: p["values"])}

    def modality_counts(self) -> dict[str, int]:
        """How many captures have each modality."""
        return {m.value: int(pc.sum(pc.not_equal(self.table.column(m.value), "")).as_py() or 0) for m in Modality}

    def ids(self, index: Iterable[int]) -> CaptureIds:
        """Identities of the captures at ``index``, without anything that tells the label."""
        part = self.table.take(pa.array(list(index), pa.int64()))
        names = ("capture_id", "presentation_id", "subject", "session", "timestamp")
        return CaptureIds(*(tuple(part.column(name).to_pylist()) for name in names))


def read_manifest(path: Path, *, require_labels: bool = False) -> Manifest:
    """Read and check a manifest (``.parquet`` or ``.csv``); image paths are relative to its folder.

    Absent columns get the design's defaults; ``depth_scale_m`` defaults to 0.001 (millimetres), ``timestamp`` to the
    row's number. Unknown columns are refused unless their name starts with ``x_``. Raises `ManifestError`.
    """
    path = Path(path)
    table = read_table(path, "manifest", ManifestError)
    return Manifest.from_table(table, path.parent, require_labels=require_labels, origin=str(path))


def write_manifest(rows: Manifest | Iterable[Mapping[str, object]], path: Path) -> Manifest:
    """Write a manifest, all defaults filled in; returns it as it would be read back.

    Relative image paths of a `Manifest` are rewritten to start from the new folder; those of plain rows already do.
    """
    path = Path(path)
    manifest = rows if isinstance(rows, Manifest) else Manifest.from_rows(rows, path.parent)
    manifest = rebase(manifest, path.parent)
    write_table(manifest.table, path, "manifest", ManifestError)
    return manifest


def rebase(manifest: Manifest, root: Path) -> Manifest:
    """The same files, named from another folder."""
    if manifest.root.resolve() == root.resolve():
        return Manifest(manifest.table, root)
    table = manifest.table
    prefix = os.path.relpath(manifest.root.resolve(), root.resolve())
    for modality in Modality:
        cells = [
            c if not c or Path(c).is_absolute() else os.path.normpath(f"{prefix}/{c}")
            for c in manifest.column(modality)
        ]
        at = table.column_names.index(modality.value)
        table = table.set_column(at, modality.value, pa.array(cells, pa.string()))
    return Manifest(table, root)


def check_table(table: pa.Table, rules: Rules) -> tuple[pa.Table, list[Fault]]:
    """Defaults applied, and everything wrong with the result; the table may be used only if nothing is."""
    fixed, faults = normalise(table)
    if faults:
        return fixed, faults
    return fixed, find_faults(fixed, rules)


def _plain(value: object) -> object:
    return value.value if isinstance(value, Label) else str(value) if isinstance(value, Path) else value


def _column(values: list[object]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, TypeError):
        return pa.array([None if v is None else str(v) for v in values], pa.string())
