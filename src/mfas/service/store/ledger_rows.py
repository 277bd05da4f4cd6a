"""Reading the ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from mfas.service.store.base import Part
from mfas.service.store.chain import Entry, append
from mfas.service.store.errors import StoreError
from mfas.service.store.schema import ledger, ledger_head
from mfas.service.store.types import LedgerRow

RESERVED = frozenset({"decision", "step", "purged", "subject_deleted"})
"""Kinds that `mfas.service.ledger` reads when it verifies: nobody else may write them."""


class LedgerRows(Part):
    """What the store shows of its ledger; `mfas.service.ledger` verifies it."""

    def ledger(
        self, *, site: str | None = None, after: int = 0, limit: int = 100, kinds: tuple[str, ...] = ()
    ) -> tuple[LedgerRow, ...]:
        """Rows in order, those after number ``after``; of one site or kind if asked."""
        found = sa.select(ledger).where(ledger.c.seq > after).order_by(ledger.c.seq).limit(limit)
        if site is not None:
            found = found.where(ledger.c.site == site)
        if kinds:
            found = found.where(ledger.c.kind.in_(kinds))
        with self.database.read() as connection:
            return tuple(to_row(row) for row in connection.execute(found).mappings())

    def ledger_head(self) -> tuple[int, str]:
        """Number and hash of the last row: kept elsewhere, it proves later that nothing before it was changed."""
        with self.database.read() as connection:
            seq, own = connection.execute(sa.select(ledger_head.c.seq, ledger_head.c.hash)).one()
        return int(seq), str(own)

    def note(self, kind: str, site: str | None, facts: Mapping[str, Any]) -> int:
        """Add a row of another ``kind`` (an alarm, a login); ``facts`` are JSON-safe and hold nothing personal."""
        if kind in RESERVED or not 1 <= len(kind) <= 32:
            raise StoreError(f"expected a kind of row that the store does not write itself, got '{kind[:80]}'")
        now = self.clock()
        with self.database.write() as connection:
            ((seq, _),) = append(connection, now, [Entry(kind, site, facts)])
        return seq


def to_row(row: Mapping[Any, Any]) -> LedgerRow:
    """A row of the ledger with its payload read."""
    facts = dict(row)
    return LedgerRow(**{**facts, "payload": json.loads(facts["payload"])})
