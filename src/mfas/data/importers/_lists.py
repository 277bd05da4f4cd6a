"""List files of data sets: columns parted by blanks, tabs or commas, Windows line ends, both label conventions."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import yaml

from mfas.core import Label
from mfas.data._manifest_rules import split_of
from mfas.data.importers.contract import Skip, Where
from mfas.errors import InputError

LIVE_IS_1 = {"1": Label.BONA_FIDE, "0": Label.ATTACK}
LIVE_IS_0 = {"0": Label.BONA_FIDE, "1": Label.ATTACK}
SPLIT_OF = {
    "train": "train",
    "dev": "validation",
    "devel": "validation",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "eval": "test",
}
"""What the sets call their parts, and what we do."""


def as_name(value: object, names: Iterable[str]) -> object:
    """The name that YAML took for a number (``4.1``, and ``3_1`` is 31 to it); anything else as it is.

    >>> as_name(31, ("1", "3_1"))
    '3_1'
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return next((name for name in names if yaml.safe_load(name) == value), str(value))


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, stripped, with their 1-based numbers; `InputError` for a file that is no text."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise InputError(f"expected a text list, cannot read {path}") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield number, line.strip()


def read_fields(path: Path, name: str, *counts: int) -> Iterator[tuple[Where, list[str]] | Skip]:
    """Fields of every line, parted by blanks or tabs; a `Skip` where their number is none of ``counts``.

    ``name`` is what the file is called in messages.
    """
    for number, line in read_lines(path):
        fields = line.split()
        where = Where(name, number)
        if len(fields) in counts:
            yield where, fields
        else:
            want = " or ".join(map(str, counts))
            yield Skip(where, "line", f"expected {want} columns, got {len(fields)}: '{line[:120]}'")


def read_csv(path: Path, name: str, *columns: str) -> Iterator[tuple[Where, Mapping[str, str]]]:
    """Rows of a CSV with a header that has ``columns``; `InputError` names the one that is not there."""
    with path.open(encoding="utf-8-sig", newline="") as handle:
        reader = csv.DictReader(handle)
        for column in columns:
            if column not in (reader.fieldnames or ()):
                raise InputError(
                    f"{path}: expected a column '{column}', got {', '.join(reader.fieldnames or ['none'])}"
                )
        for row in reader:
            yield Where(name, reader.line_num), {k: (v or "").strip() for k, v in row.items() if k}


def label_of(text: str, meaning: Mapping[str, Label], where: Where) -> Label | Skip:
    """A label cell by the list's convention."""
    found = meaning.get(text)
    return found if found else Skip(where, "line", f"expected a label out of {', '.join(meaning)}, got '{text[:40]}'")


def held_out(subject: str) -> bool:
    """Whether a subject of a train part without a validation part goes to validation: one in five, by a hash."""
    return split_of(subject) == "test"
