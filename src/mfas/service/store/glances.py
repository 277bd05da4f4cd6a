"""Figures of a site for people who look at it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from mfas.service.store.base import Part
from mfas.service.store.ledger_rows import to_row
from mfas.service.store.schema import decisions, ledger, states, steps
from mfas.service.store.types import LedgerRow, Status


@dataclass(frozen=True, slots=True)
class LastTimes:
    """When a shadow last looked at a capture of the site, and when the state in force last changed; None = never."""

    looked: datetime | None
    changed: datetime | None


class Glances(Part):
    """What the store sums up."""

    def outcomes(self, site: str, since: datetime) -> Counter[str]:
        """Decisions from ``since`` on: how many ``bona_fide``, ``attack``, ``no_face`` and ``cannot_judge``."""
        kind = sa.func.coalesce(decisions.c.decision, decisions.c.outcome)
        found = sa.select(kind, sa.func.count()).where(decisions.c.site == site, decisions.c.time >= since)
        with self.database.read() as connection:
            return Counter({str(name): int(count) for name, count in connection.execute(found.group_by(kind))})

    def last_times(self, site: str) -> LastTimes:
        """See `LastTimes`."""
        looked = sa.select(sa.func.max(steps.c.time)).where(steps.c.site == site)
        # Observed, rejected and withdrawn states were never in force.
        served = states.c.status.in_([Status.PROMOTED.value, Status.ROLLED_BACK.value, Status.RETIRED.value])
        changed = sa.select(sa.func.max(states.c.decided)).where(states.c.site == site, served)
        with self.database.read() as connection:
            return LastTimes(connection.execute(looked).scalar_one(), connection.execute(changed).scalar_one())

    def step_times(self, site: str, first: int) -> dict[int, datetime]:
        """Times of the site's steps by ledger number, from number ``first`` on."""
        found = sa.select(steps.c.seq, steps.c.time).where(steps.c.site == site, steps.c.seq >= first)
        with self.database.read() as connection:
            return {int(seq): time for seq, time in connection.execute(found)}

    def latest(
        self, site: str, kinds: Sequence[str], *, since: datetime | None = None, limit: int = 100
    ) -> tuple[LedgerRow, ...]:
        """Rows of the ledger of these kinds at the site, newest first."""
        found = sa.select(ledger).where(ledger.c.site == site, ledger.c.kind.in_(kinds))
        if since is not None:
            found = found.where(ledger.c.time >= since)
        with self.database.read() as connection:
            rows = connection.execute(found.order_by(ledger.c.seq.desc()).limit(limit)).mappings()
            return tuple(to_row(row) for row in rows)
