"""Decisions in the store: each with its row of the ledger, in one transaction, before the answer goes out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mfas._files import json_line
from mfas.service.store.base import Part
from mfas.service.store.chain import Entry, append, canonical, content_hash, next_seq
from mfas.service.store.errors import NonceSeenError, StoreError
from mfas.service.store.schema import decisions, nonces, sites
from mfas.service.store.sites import read_site
from mfas.service.store.together import Together
from mfas.service.store.types import Receipt, StoredDecision

Decisions = tuple[StoredDecision, ...]


class Answers(Part):
    """What the store knows of decisions."""

    together: Together[Decisions, tuple[Receipt, ...]]

    def record_decision(self, decision: StoredDecision) -> Receipt:
        """See `record_decisions`."""
        return self.record_decisions([decision])[0]

    def record_decisions(self, given: Sequence[StoredDecision]) -> tuple[Receipt, ...]:
        """Write decisions and their ledger rows in one transaction: all, or none.

        Once this returns they survive the end of the process. Other threads' decisions may share the transaction, but
        not their faults. Raises `NonceSeenError` when a nonce was used at its site before, `UnknownSiteError`, and
        `StoreError` when a request id was recorded before.
        """
        return self.together.do(tuple(given)) if given else ()

    def record_together(self, jobs: Sequence[Decisions]) -> list[tuple[Receipt, ...]]:
        """The decisions of all ``jobs`` in one transaction."""
        given = [decision for job in jobs for decision in job]
        now = self.clock()
        rows = [_row(decision) for decision in given]
        with self.database.write() as connection:
            for site, count in Counter(decision.site for decision in given).items():
                read_site(connection, site)
                grown = sites.c.decisions + count
                connection.execute(sa.update(sites).where(sites.c.name == site).values(decisions=grown))
            _use_nonces(connection, given, now)
            first = next_seq(connection)
            for seq, row in enumerate(rows, start=first):
                row["seq"] = seq
            try:
                connection.execute(sa.insert(decisions), rows)
            except sa.exc.IntegrityError:
                raise StoreError("expected request ids that were never recorded, got one that was") from None
            placed = iter(
                append(connection, now, [Entry("decision", row["site"], {"row": content_hash(row)}) for row in rows])
            )
        return [tuple(Receipt(decision.request_id, *next(placed)) for decision in job) for job in jobs]

    def nonce_seen(self, site: str, nonce: str) -> bool:
        """Whether the nonce (its keyed hash) was used at the site: to refuse a replay before any work is done."""
        with self.database.read() as connection:
            found = sa.select(nonces.c.nonce).where(nonces.c.site == site, nonces.c.nonce == nonce)
            return connection.execute(found).first() is not None

    def decision(self, request_id: str) -> StoredDecision | None:
        """The decision of a request, unless there is none (any more)."""
        with self.database.read() as connection:
            found = sa.select(decisions).where(decisions.c.request_id == request_id)
            row = connection.execute(found).mappings().first()
        return None if row is None else _decision(row)

    def request_ids(self, site: str, beginning: str, limit: int) -> tuple[str, ...]:
        """Ids of a site's decisions that begin so, in order; ``beginning`` of hex digits and dots."""
        own = sa.and_(decisions.c.site == site, decisions.c.request_id.startswith(beginning, autoescape=True))
        found = sa.select(decisions.c.request_id).where(own).order_by(decisions.c.request_id).limit(limit)
        with self.database.read() as connection:
            return tuple(connection.execute(found).scalars())

    def decisions(
        self, site: str, *, limit: int = 100, before: int | None = None, subject: str | None = None
    ) -> tuple[tuple[int, StoredDecision], ...]:
        """Decisions of a site with their ledger numbers, newest first; ``before`` continues an earlier page."""
        found = sa.select(decisions).where(decisions.c.site == site).order_by(decisions.c.seq.desc()).limit(limit)
        if before is not None:
            found = found.where(decisions.c.seq < before)
        if subject is not None:
            found = found.where(decisions.c.subject == subject)
        with self.database.read() as connection:
            rows = connection.execute(found).mappings().all()
        return tuple((int(row["seq"]), _decision(row)) for row in rows)


def _use_nonces(connection: sa.Connection, given: Sequence[StoredDecision], now: datetime) -> None:
    used = [(decision.site, decision.nonce) for decision in given if decision.nonce is not None]
    if not used:
        return
    both = sa.tuple_(nonces.c.site, nonces.c.nonce)
    seen = connection.execute(sa.select(nonces.c.nonce).where(both.in_(used))).first()
    if seen or len(set(used)) < len(used):
        raise NonceSeenError("expected a nonce that was never used at this site, got one that was")
    connection.execute(sa.insert(nonces), [{"site": s, "nonce": n, "time": now} for s, n in used])


def _row(decision: StoredDecision) -> dict[str, Any]:
    row = {field.name: getattr(decision, field.name) for field in fields(decision)}  # asdict would copy the record
    row["modality_scores"] = canonical(dict(decision.modality_scores))
    row["substituted"] = ",".join(decision.substituted)
    # not canonical: the order of a record is part of it
    row["record"] = None if decision.record is None else json_line(decision.record)
    return row


def _decision(row: Mapping[Any, Any]) -> StoredDecision:
    facts = {key: value for key, value in row.items() if key != "seq"}
    facts["modality_scores"] = json.loads(facts["modality_scores"])
    facts["substituted"] = tuple(part for part in facts["substituted"].split(",") if part)
    facts["record"] = None if facts["record"] is None else json.loads(facts["record"])
    return StoredDecision(**facts)
