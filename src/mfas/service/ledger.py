"""Is the ledger whole? Every hash is computed anew, and every decision and step compared with the hash it left."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from mfas.errors import InputError
from mfas.service.store.chain import START, content_hash, row_hash
from mfas.service.store.database import Database
from mfas.service.store.errors import StoreError
from mfas.service.store.schema import decisions, ledger, ledger_head, steps

_RECORDS = {"decision": decisions, "step": steps}
_CHUNK = 1000


class LedgerError(InputError):
    """The ledger does not verify; the message names the first wrong row."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found whole: how many rows, the hash of the last, and what of its records is still kept.

    ``removed``: decisions and steps that a purge or a deletion took, as the ledger tells.
    """

    rows: int
    head: str
    records: int
    removed: int


def parse_anchor(text: str) -> tuple[int, str]:
    """``NUMBER:HASH`` of a row, as `Store.ledger_head` gives them; `LedgerError` for anything else."""
    number, sign, own = text.partition(":")
    if not sign or not number.isdecimal() or not re.fullmatch("[0-9a-f]{64}", own) or int(number) < 1:
        raise LedgerError(f"expected an anchor as NUMBER:HASH of a row, got '{text[:80]}'")
    return int(number), own


def verify(database: Database, anchor: tuple[int, str] | None = None) -> Verified:
    """Check the whole chain, and each decision and step against its hash. Raises `LedgerError`.

    A chain shows that a row was changed, taken out or put in between; whoever can rewrite all of it after that row can
    hide this, unless number and hash of an earlier last row were kept elsewhere: ``anchor`` compares them.
    """
    with database.read() as connection:
        try:
            return _Verifier(connection, anchor).run()
        except sa.exc.SQLAlchemyError as reason:
            raise StoreError(
                f"expected a database with a ledger, got one that cannot be read: {reason.args[0]}"
            ) from None


class _Verifier:
    def __init__(self, connection: sa.Connection, anchor: tuple[int, str] | None) -> None:
        self._connection = connection
        self._anchor = anchor
        self._purged: dict[str, int] = {}
        self._deleted: set[int] = set()
        self._absent: list[tuple[int, str]] = []
        self._records = 0

    def run(self) -> Verified:
        seq, previous = 0, START
        for chunk in self._chunks():
            kept = self._kept(chunk)
            for row in chunk:
                seq += 1
                previous = self._row(row, seq, previous, kept)
        head_seq, head_hash = self._head()
        if (seq, previous) != (head_seq, head_hash):
            raise LedgerError(f"ledger row {min(seq, head_seq) + 1}: expected rows up to {head_seq}, got up to {seq}")
        if self._anchor is not None and self._anchor[0] > seq:
            raise LedgerError(
                f"ledger row {seq + 1}: expected rows up to the anchor {self._anchor[0]}, got up to {seq}"
            )
        unexplained = [n for n, site in self._absent if n not in self._deleted and n > self._purged.get(site, 0)]
        if unexplained:
            raise LedgerError(f"ledger row {unexplained[0]}: its record is gone, and no purge or deletion took it")
        self._strays()
        return Verified(seq, previous, self._records, len(self._absent))

    def _row(self, row: Any, seq: int, previous: str, kept: dict[int, str]) -> str:
        if row.seq != seq:
            raise LedgerError(f"ledger row {seq}: expected it, got row {row.seq}")
        if row.previous != previous:
            raise LedgerError(f"ledger row {seq}: does not follow the row before it")
        own = row_hash(seq, row.time, row.kind, row.site, row.payload, row.previous)
        if own != row.hash:
            raise LedgerError(f"ledger row {seq}: was changed")
        if self._anchor is not None and self._anchor[0] == seq and self._anchor[1] != own:
            raise LedgerError(f"ledger row {seq}: is not the row of the anchor")
        self._record(row, kept)
        return own

    def _record(self, row: Any, kept: dict[int, str]) -> None:
        """What a verified row says of other tables."""
        payload = json.loads(row.payload)
        if row.kind in _RECORDS:
            found = kept.get(row.seq)
            if found is None:
                self._absent.append((row.seq, row.site))
            elif found != payload["row"]:
                raise LedgerError(f"ledger row {row.seq}: its {row.kind} was changed")
            else:
                self._records += 1
        elif row.kind == "purged":
            self._purged[row.site] = max(self._purged.get(row.site, 0), payload["through"])
        elif row.kind == "subject_deleted":
            self._deleted.update(payload["rows"])

    def _chunks(self) -> Iterator[list[Any]]:
        # Times as the texts they are: a time that was changed must not be repaired by being read.
        time = sa.type_coerce(ledger.c.time, sa.String).label("time")
        columns = (ledger.c.seq, time, ledger.c.kind, ledger.c.site, ledger.c.payload, ledger.c.previous, ledger.c.hash)
        last = -1
        while True:
            found = sa.select(*columns).where(ledger.c.seq > last).order_by(ledger.c.seq).limit(_CHUNK)
            rows = list(self._connection.execute(found))
            if not rows:
                return
            yield rows
            last = rows[-1].seq

    def _kept(self, chunk: list[Any]) -> dict[int, str]:
        """Hashes of the decisions and steps that belong to a chunk, as they are now."""
        first, last = chunk[0].seq, chunk[-1].seq
        found: dict[int, str] = {}
        for table in _RECORDS.values():
            columns = [sa.type_coerce(c, sa.String).label(c.name) if c.name == "time" else c for c in table.c]
            rows = self._connection.execute(sa.select(*columns).where(table.c.seq.between(first, last)))
            for row in rows.mappings():
                found[int(row["seq"])] = content_hash(row)
        return found

    def _strays(self) -> None:
        """Records that no row of the ledger tells of."""
        for kind, table in _RECORDS.items():
            told = sa.select(ledger.c.seq).where(ledger.c.seq == table.c.seq, ledger.c.kind == kind)
            stray = self._connection.execute(sa.select(sa.func.min(table.c.seq)).where(~told.exists())).scalar_one()
            if stray is not None:
                raise LedgerError(f"ledger row {stray}: there is a {kind} that it does not tell of")

    def _head(self) -> tuple[int, str]:
        row = self._connection.execute(sa.select(ledger_head.c.seq, ledger_head.c.hash)).one()
        return int(row[0]), str(row[1])
