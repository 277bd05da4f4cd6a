"""Defaults and rules of a manifest, applied to whole columns."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mfas.core import UNKNOWN_SPECIES, Label
from mfas.data._columns import number_column, text_column
from mfas.data.box import BOX_PATTERN, FULL
from mfas.data.images import DEPTH_KINDS, METRIC
from mfas.data.species import SPECIES

SPLITS = ("train", "validation", "test")
COLUMNS: dict[str, str] = {
    "capture_id": "text",
    "presentation_id": "text",
    "subject": "text",
    "presenter": "text",
    "session": "text",
    "site": "text",
    "split": "text",
    "label": "text",
    "species": "text",
    "rgb": "text",
    "depth": "text",
    "ir": "text",
    "box": "text",
    "frame": "integer",
    "timestamp": "number",
    "depth_scale_m": "number",
    "depth_kind": "text",
}
"""Every column of a manifest and its type, in the order they are written."""
DEFAULT_DEPTH_SCALE_M = 0.001
_TRAIN_SHARE, _VALIDATION_SHARE = 0.6, 0.2
_PER_RULE = 20


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and where: 1-based data row (0 = the whole table) and column."""

    row: int
    column: str
    message: str

    def __str__(self) -> str:
        return f"row {self.row}, column {self.column}: {self.message}" if self.row else f"{self.column}: {self.message}"


@dataclass(frozen=True, slots=True)
class Rules:
    """What a use of a manifest asks of it beyond the contract."""

    require_labels: bool = False


def normalise(table: pa.Table) -> tuple[pa.Table, list[Fault]]:
    """Exactly the known columns (and ``x_...``) with their types and defaults; faults are cells that are no number."""
    unknown = [n for n in table.column_names if n not in COLUMNS and not n.startswith("x_")]
    if unknown:
        known = ", ".join(COLUMNS)
        return table, [Fault(0, f"column '{unknown[0]}'", f"expected columns out of {known} or x_..., got this one")]
    columns: dict[str, pa.Array] = {}
    faults: list[Fault] = []
    for name, kind in COLUMNS.items():
        if kind == "text":
            columns[name] = text_column(table, name)
            continue
        columns[name], bad, text = number_column(table, name)
        if bad is not None:
            faults.append(Fault(bad + 1, name, f"expected a number, got '{text}'"))
    faults += _fill(columns, table.num_rows)
    extra = {n: table.column(n) for n in table.column_names if n.startswith("x_")}
    return pa.table(columns | extra), faults


def find_faults(table: pa.Table, rules: Rules) -> list[Fault]:
    """Everything that breaks the contract, at most 20 faults of one kind, ordered by row."""
    column = {name: table.column(name).combine_chunks() for name in COLUMNS}
    nothing = pc.and_(pc.and_(pc.equal(column["rgb"], ""), pc.equal(column["depth"], "")), pc.equal(column["ir"], ""))
    faults = _where(nothing, "rgb", lambda _: "expected an image in rgb, depth or ir, got none", column["rgb"])
    faults += _duplicates(column["capture_id"])
    faults += _one_of(column["split"], "split", SPLITS)
    faults += _one_of(column["label"], "label", (*(label.value for label in Label), ""))
    if rules.require_labels:
        blank = pc.equal(column["label"], "")
        faults += _where(blank, "label", lambda _: "expected bona_fide or attack, got an empty cell", column["label"])
    faults += _species_faults(column["label"], column["species"])
    faults += _box_faults(column["box"])
    faults += _one_of(column["depth_kind"], "depth_kind", DEPTH_KINDS)
    faults += _number_faults(column)
    faults += _conflicts(column["subject"], column["split"], "split", "subject")
    faults += _conflicts(column["presentation_id"], column["label"], "label", "presentation")
    faults += _conflicts(column["presentation_id"], column["split"], "split", "presentation")
    return sorted(faults, key=lambda fault: fault.row)


def _fill(c: dict[str, pa.Array], count: int) -> list[Fault]:
    """Fill empty cells with the defaults, in place."""
    rows = np.arange(count)
    if pc.any(pc.equal(c["capture_id"], "")).as_py():
        paths = zip(*(c[m].to_pylist() for m in ("rgb", "depth", "ir")), strict=True)
        hashed = pa.array([_digest("\n".join(parts)) for parts in paths], pa.string())
        c["capture_id"] = _or_else(c["capture_id"], hashed)
    c["presentation_id"] = _or_else(c["presentation_id"], c["capture_id"])
    c["site"] = _or_else(c["site"], "default")
    c["depth_kind"] = _or_else(c["depth_kind"], METRIC)
    attack = pc.and_(pc.equal(c["label"], Label.ATTACK.value), pc.equal(c["species"], ""))
    c["species"] = pc.if_else(attack, UNKNOWN_SPECIES, c["species"])
    c["depth_scale_m"] = pc.if_else(pc.is_nan(c["depth_scale_m"]), DEFAULT_DEPTH_SCALE_M, c["depth_scale_m"])
    c["split"] = _or_else(c["split"], _hashed_split(_or_else(c["subject"], c["presentation_id"]), c["split"]))
    frame = np.nan_to_num(c["frame"].to_numpy(zero_copy_only=False), nan=0.0)
    c["frame"] = pa.array(np.clip(frame, -(2**62), 2**62).astype(np.int64))
    timestamp = c["timestamp"].to_numpy(zero_copy_only=False)
    absent = np.isnan(timestamp)
    if absent.all():
        c["timestamp"] = pa.array(rows.astype(np.float64))
    elif absent.any():
        row = int(np.flatnonzero(absent)[0]) + 1
        return [Fault(row, "timestamp", "expected a number of seconds in every row or in none, got an empty cell")]
    return []


def _or_else(column: pa.Array, default: pa.Array | str) -> pa.Array:
    blank = pc.equal(column, "")
    return pc.if_else(blank, default, column) if pc.any(blank).as_py() else column


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def split_of(name: str) -> str:
    """The default split of a subject (or presentation): 60 / 20 / 20 by a hash of its name, equal on every machine."""
    share = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") / 2**64
    if share < _TRAIN_SHARE:
        return SPLITS[0]
    return SPLITS[1] if share < _TRAIN_SHARE + _VALIDATION_SHARE else SPLITS[2]


def _hashed_split(names: pa.Array, split: pa.Array) -> pa.Array | str:
    if not pc.any(pc.equal(split, "")).as_py():
        return ""
    coded = names.dictionary_encode()
    chosen = pa.array([split_of(name) for name in coded.dictionary.to_pylist()], pa.string())
    return chosen.take(coded.indices)


def _where(mask: pa.Array, name: str, say: object, values: pa.Array) -> list[Fault]:
    """One fault for each true entry of ``mask``; ``say`` makes the sentence from the cell's text."""
    assert callable(say)
    hits = np.flatnonzero(mask.to_numpy(zero_copy_only=False))[:_PER_RULE]
    return [Fault(int(i) + 1, name, say(values[int(i)].as_py())) for i in hits]


def _one_of(values: pa.Array, name: str, allowed: tuple[str, ...]) -> list[Fault]:
    bad = pc.invert(pc.is_in(values, value_set=pa.array(allowed, pa.string())))
    listed = ", ".join(value for value in allowed if value)
    return _where(bad, name, lambda cell: f"expected one of {listed}, got '{cell}'", values)


def _duplicates(ids: pa.Array) -> list[Fault]:
    coded = ids.dictionary_encode()
    if len(coded.dictionary) == len(ids):
        return []
    codes = coded.indices.to_numpy()
    first = np.full(int(codes.max()) + 1, -1)
    _, at = np.unique(codes, return_index=True)
    first[codes[at]] = at
    again = np.flatnonzero(first[codes] != np.arange(len(codes)))[:_PER_RULE]
    return [
        Fault(int(i) + 1, "capture_id", f"'{ids[int(i)].as_py()}' already stands in row {first[codes[i]] + 1}")
        for i in again
    ]


def _species_faults(label: pa.Array, species: pa.Array) -> list[Fault]:
    faults = _one_of(species, "species", (*SPECIES, ""))
    bona_fide = pc.and_(pc.equal(label, Label.BONA_FIDE.value), pc.not_equal(species, ""))
    return faults + _where(
        bona_fide, "species", lambda cell: f"expected an empty cell for a bona fide capture, got '{cell}'", species
    )


def _box_faults(box: pa.Array) -> list[Fault]:
    shaped = pc.match_substring_regex(box, BOX_PATTERN)
    positive = pc.match_substring_regex(box, r"^[^,]*,[^,]*,\s*0*\.?0*[1-9][^,]*,\s*0*\.?0*[1-9][^,]*$")
    good = pc.or_(pc.and_(shaped, positive), pc.is_in(box, value_set=pa.array(["", FULL])))
    return _where(
        pc.invert(good), "box", lambda cell: f"expected x,y,w,h in pixels, '{FULL}' or an empty cell, got '{cell}'", box
    )


def _number_faults(c: dict[str, pa.Array]) -> list[Fault]:
    scale = c["depth_scale_m"].to_numpy(zero_copy_only=False)
    bad = pa.array(~(np.isfinite(scale) & (scale > 0)))
    faults = _where(
        bad,
        "depth_scale_m",
        lambda cell: f"expected metres per depth unit above zero, got {cell:g}",
        c["depth_scale_m"],
    )
    bad = pa.array(~np.isfinite(c["timestamp"].to_numpy(zero_copy_only=False)))
    return faults + _where(bad, "timestamp", lambda cell: f"expected seconds, got {cell:g}", c["timestamp"])


def _conflicts(key: pa.Array, value: pa.Array, name: str, what: str) -> list[Fault]:
    """Faults where one non-empty ``key`` (a subject, a presentation) comes with two different ``value`` cells."""
    coded, values = key.dictionary_encode(), value.dictionary_encode()
    names, codes = coded.dictionary, coded.indices.to_numpy()
    cells = values.indices.to_numpy()
    if not len(codes):
        return []
    first = np.zeros(len(names), np.int64)
    first[codes[::-1]] = cells[::-1]
    odd = np.flatnonzero(cells != first[codes])
    faults: list[Fault] = []
    for i in odd.tolist():
        who = names[int(codes[i])].as_py()
        if who:
            got, before = value[i].as_py(), values.dictionary[int(first[codes[i]])].as_py()
            faults.append(Fault(i + 1, name, f"{what} '{who}' is '{got}' here and '{before}' above"))
        if len(faults) >= _PER_RULE:
            break
    return faults
