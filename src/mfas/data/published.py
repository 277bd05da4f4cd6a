"""Figures that papers print for a protocol, each with the page it was read from. They are never mixed with ours."""

from __future__ import annotations

from importlib import resources
from typing import Literal

from pydantic import Field

from mfas.config import Config, parse, read_yaml
from mfas.data.protocol import PUBLISHED_FILE


class PublishedTable(Config):
    """One printed table: HTER and AUC in per cent by method and column (a case, or a missing pattern)."""

    protocol: str
    source: str = Field(min_length=1)
    columns: Literal["cases", "missing"]
    note: str = ""
    rows: dict[str, dict[str, tuple[float, float]]]


class _File(Config):
    tables: tuple[PublishedTable, ...]


def published(protocol: str) -> tuple[PublishedTable, ...]:
    """The tables printed for a protocol; none for most.

    >>> [table.rows["MMDG"]["CPS_W"] for table in published("mmdg_p1")][0]
    (12.79, 93.83)
    """
    with resources.as_file(resources.files("mfas.data.protocols") / PUBLISHED_FILE) as path:
        tables = parse(_File, read_yaml(path), PUBLISHED_FILE).tables
    return tuple(table for table in tables if table.protocol == protocol)
