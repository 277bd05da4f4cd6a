"""The chain: rows that each hold the hash of the one before, appended in the transaction of what they record.

The ledger holds no personal data. Of decisions and steps it holds the hash of the row, so that the row can be deleted
and the chain still verifies.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mfas.service.store.schema import ledger, ledger_head, utc_text

START = "0" * 64
"""What the first row holds as the hash before it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be recorded; ``payload`` is JSON-safe."""

    kind: str
    site: str | None
    payload: Mapping[str, Any]


def canonical(value: Any) -> str:
    """One text for one value: keys sorted, no spaces, ASCII; NaN refused with `ValueError`."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def row_hash(seq: int, time: str, kind: str, site: str | None, payload: str, previous: str) -> str:
    """Hash of a ledger row; ``time`` and ``payload`` as the texts that are stored."""
    return hashlib.sha256(canonical([seq, time, kind, site, payload, previous]).encode()).hexdigest()


_ADDED = frozenset({"record", "model_id", "signals"})
"""Columns that later migrations added: where they are empty a row hashes as it did without them."""


def content_hash(row: Mapping[Any, Any]) -> str:
    """Hash of a decision's or a step's row, whose times are texts or aware times."""
    told = {key: value for key, value in row.items() if value is not None or key not in _ADDED}
    plain = {key: utc_text(value) if isinstance(value, datetime) else value for key, value in told.items()}
    return hashlib.sha256(canonical(plain).encode()).hexdigest()


def next_seq(connection: sa.Connection) -> int:
    """The number of the next row; the transaction must be a writing one, which nobody else has at the same time."""
    return int(connection.execute(sa.select(ledger_head.c.seq)).scalar_one()) + 1


def append(connection: sa.Connection, time: datetime, entries: Sequence[Entry]) -> list[tuple[int, str]]:
    """Add ``entries`` to the chain; gives number and hash of each row."""
    if not entries:
        return []
    seq, previous = connection.execute(sa.select(ledger_head.c.seq, ledger_head.c.hash)).one()
    rows: list[dict[str, Any]] = []
    for entry in entries:
        seq += 1
        payload = canonical(entry.payload)
        own = row_hash(seq, utc_text(time), entry.kind, entry.site, payload, previous)
        facts = {"kind": entry.kind, "site": entry.site, "payload": payload, "previous": previous, "hash": own}
        rows.append({"seq": seq, "time": time, **facts})
        previous = own
    connection.execute(sa.insert(ledger), rows)
    connection.execute(sa.update(ledger_head).values(seq=seq, hash=previous))
    return [(int(row["seq"]), str(row["hash"])) for row in rows]
