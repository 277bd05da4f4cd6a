"""Reading and writing tables of text and numbers as Parquet or CSV; suffix decides, content is the same either way."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from mfas._files import atomic_path
from mfas.errors import InputError

PARQUET_SUFFIXES = (".parquet", ".pq")
CSV_SUFFIXES = (".csv",)


def read_table(path: Path, what: str, error: type[InputError]) -> pa.Table:
    """Read a table; every CSV column comes as text. ``what`` names the file in messages ("manifest", "score table")."""
    with _reading(path, what, error) as parquet:
        table = _read_parquet(path) if parquet else _read_csv(path)
    _check_names(table, path, error)
    return table


def iterate_table(path: Path, what: str, error: type[InputError], rows: int) -> Iterator[pa.Table]:
    """As `read_table`, in pieces of at most ``rows`` rows (CSV: of about a megabyte), never held together."""
    with _reading(path, what, error) as parquet:
        for batch in _parquet_batches(path, rows) if parquet else _csv_batches(path):
            table = pa.Table.from_batches([batch])
            _check_names(table, path, error)
            yield table


def write_table(table: pa.Table, path: Path, what: str, error: type[InputError]) -> None:
    """Write a table atomically; equal tables give equal bytes. In CSV, empty text and NaN are empty cells."""
    suffix = path.suffix.lower()
    if suffix not in PARQUET_SUFFIXES + CSV_SUFFIXES:
        raise error(f"expected a {what} named .parquet or .csv, got {path}")
    with atomic_path(path) as temporary:
        if suffix in PARQUET_SUFFIXES:
            pq.write_table(table, temporary, compression="zstd")
        else:
            _write_csv(table, temporary)


def text_column(table: pa.Table, name: str) -> pa.Array:
    """A column as trimmed text, empty where null or absent; numbers and categories become text."""
    if name not in table.column_names:
        return _blank(len(table))
    column = table.column(name).combine_chunks()
    if pa.types.is_null(column.type):
        return _blank(len(table))
    if not pa.types.is_string(column.type):
        try:
            column = pc.cast(column, pa.string())
        except pa.ArrowException:
            raise InputError(f"column '{name}': expected text, got {column.type}") from None
    return pc.utf8_trim_whitespace(pc.fill_null(column, "") if column.null_count else column)


def number_column(table: pa.Table, name: str) -> tuple[pa.Array, int | None, str]:
    """A column as float64, NaN where empty; beside it the first row that is no number (or None) and its text."""
    if name not in table.column_names:
        return _nans(len(table)), None, ""
    column = table.column(name).combine_chunks()
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        return pc.fill_null(pc.cast(column, pa.float64(), safe=False), float("nan")), None, ""
    text = text_column(table, name)
    blank = pc.equal(text, "")
    pattern = r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$|^[+-]?([nN]a[nN]|[iI]nf(inity)?)$"
    good = pc.or_(blank, pc.match_substring_regex(text, pattern))
    bad = pc.index(good, False).as_py()
    if bad >= 0:
        return _nans(len(table)), bad, text[bad].as_py()
    filled = pc.if_else(blank, "nan", text)
    return pc.cast(pc.utf8_ltrim(filled, "+"), pa.float64()), None, ""


@contextmanager
def _reading(path: Path, what: str, error: type[InputError]) -> Iterator[bool]:
    """Refuse what cannot be read; yields whether it is Parquet."""
    suffix = path.suffix.lower()
    if suffix not in PARQUET_SUFFIXES + CSV_SUFFIXES:
        raise error(f"expected a {what} named .parquet or .csv, got {path}")
    if not path.is_file():
        raise error(f"{what} not found: {path}")
    try:
        yield suffix in PARQUET_SUFFIXES
    except (pa.ArrowException, OSError, UnicodeDecodeError, csv.Error) as reason:
        raise error(f"{path}: not a readable {what}: {str(reason).splitlines()[0]}") from None


def _check_names(table: pa.Table, path: Path, error: type[InputError]) -> None:
    names = table.column_names
    for name in names:
        if names.count(name) > 1:
            raise error(f"{path}: column '{name}' stands twice")


def _parquet_batches(path: Path, rows: int) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=rows)


def _csv_batches(path: Path) -> Iterator[pa.RecordBatch]:
    with pa_csv.open_csv(path, **_csv_options(path)) as reader:
        yield from reader


def _read_parquet(path: Path) -> pa.Table:
    """One chunk per row group: a table in many chunks is copied again for every column that is looked at."""
    with pq.ParquetFile(path) as file:
        return file.read()


def _read_csv(path: Path) -> pa.Table:
    return pa_csv.read_csv(path, **_csv_options(path))


def _csv_options(path: Path) -> dict[str, Any]:
    """Every column as text, named by the first line."""
    with path.open(encoding="utf-8-sig", newline="") as handle:
        header = next(csv.reader(handle), [])
    names = [name.strip() for name in header]
    return {
        "read_options": pa_csv.ReadOptions(column_names=names, skip_rows=1),
        "parse_options": pa_csv.ParseOptions(newlines_in_values=False),
        "convert_options": pa_csv.ConvertOptions(
            column_types={name: pa.string() for name in names}, strings_can_be_null=False
        ),
    }


def _write_csv(table: pa.Table, path: Path) -> None:
    columns: list[Any] = []
    for name in table.column_names:
        column = table.column(name)
        if pa.types.is_string(column.type):
            column = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
        elif pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)
        columns.append(column)
    plain = pa.table(columns, names=table.column_names)
    with path.open("wb") as handle:
        handle.write((",".join(table.column_names) + "\n").encode())
        pa_csv.write_csv(plain, handle, pa_csv.WriteOptions(include_header=False))


def _blank(count: int) -> pa.Array:
    return pa.repeat(pa.scalar("", pa.string()), count)


def _nans(count: int) -> pa.Array:
    return pa.repeat(pa.scalar(float("nan"), pa.float64()), count)
