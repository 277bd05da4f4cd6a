"""What must go: decisions past their time, everything of a subject who asks; and copies for the day a disk dies."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from mfas._files import atomic_path
from mfas.service.states import Site
from mfas.service.store.base import Part
from mfas.service.store.chain import Entry, append
from mfas.service.store.errors import StoreError
from mfas.service.store.schema import decisions, ledger, nonces, sites, states, steps
from mfas.service.store.sites import read_site, to_site
from mfas.service.store.types import Status

_UNUSED = (Status.REJECTED, Status.OBSERVED, Status.WITHDRAWN, Status.ROLLED_BACK, Status.RETIRED)


@dataclass(frozen=True, slots=True)
class Purged:
    """What `Retention.purge` removed from one site; ``deltas`` are the bytes of states that nothing can serve."""

    site: str
    decisions: int
    steps: int
    nonces: int
    deltas: int


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What `Retention.delete_subject` removed, and the states whose learning the subject had a part in, oldest first.

    The states stay: weights cannot be made to forget one person. Who must have them gone rolls back to before them.
    """

    decisions: int
    steps: int
    states: tuple[str, ...]


class Retention(Part):
    """What the store forgets. The ledger keeps hashes only, so it verifies as before."""

    def purge(self, now: datetime | None = None) -> tuple[Purged, ...]:
        """Remove decisions, steps and nonces that are older than their site's limit; a site with none is left out."""
        moment = self.clock() if now is None else now
        with self.database.write() as connection:
            found = connection.execute(sa.select(sites).order_by(sites.c.name)).mappings().all()
            done = [self._purge(connection, to_site(row), moment) for row in found]
        return tuple(p for p in done if p.decisions or p.steps or p.nonces or p.deltas)

    def delete_subject(self, site: str, subject: str, by: str = "system") -> Forgotten:
        """Remove the decisions and steps of ``subject`` (its keyed hash) at ``site``, and say what it taught.

        The site's shadow, wherever it runs, starts afresh from the state in force, so that nothing of the subject is
        left in its memory. Nonces stay: they are nobody's, and without them a recorded capture could be replayed.
        """
        now = self.clock()
        with self.database.write() as connection:
            read_site(connection, site)
            own: dict[str, list[int]] = {}
            mine = sa.select(steps.c.seq).where(steps.c.site == site, steps.c.subject == subject, steps.c.accepted)
            taught = _taught(connection, site, [int(row[0]) for row in connection.execute(mine)])
            for table in (decisions, steps):
                matching = sa.and_(table.c.site == site, table.c.subject == subject)
                removed = connection.execute(sa.select(table.c.seq).where(matching).order_by(table.c.seq)).scalars()
                own[table.name] = [int(seq) for seq in removed]
                connection.execute(sa.delete(table).where(matching))
            grown = sites.c.generation + 1
            connection.execute(sa.update(sites).where(sites.c.name == site).values(generation=grown))
            facts = {"rows": sorted(own["decisions"] + own["steps"]), "states": taught, "by": by}
            append(connection, now, [Entry("subject_deleted", site, facts)])
        return Forgotten(len(own["decisions"]), len(own["steps"]), tuple(taught))

    def backup(self, target: Path) -> Path:
        """Copy an SQLite database, while it is in use, to the new file ``target``; PostgreSQL has ``pg_dump``.

        To restore, stop the service, put the copy in the database's place, and remove its ``-wal`` and ``-shm`` files.
        """
        if not self.database.is_sqlite:
            raise StoreError("expected an SQLite database, got PostgreSQL: back it up with pg_dump")
        if target.exists():
            raise StoreError(f"expected a new file to back up to, got one that is there: {target}")
        try:
            with (
                atomic_path(target) as temporary,
                closing(sqlite3.connect(self.database.file)) as source,
                closing(sqlite3.connect(temporary)) as copy,
            ):
                temporary.chmod(0o600)
                source.backup(copy)
            target.chmod(0o600)
        except OSError as reason:
            raise StoreError(f"expected to write a backup to {target} ({reason.strerror})") from None
        return target

    def _purge(self, connection: sa.Connection, site: Site, now: datetime) -> Purged:
        limit = now - timedelta(days=site.retention_days)
        # By the ledger's own clock: what a caller said the time was cannot keep a row alive.
        old = sa.select(sa.func.max(ledger.c.seq)).where(ledger.c.site == site.name, ledger.c.time < limit)
        through = connection.execute(old).scalar_one()
        if through is None:
            return Purged(site.name, 0, 0, 0, 0)
        counts = {
            table.name: connection.execute(
                sa.delete(table).where(table.c.site == site.name, table.c.seq <= through)
            ).rowcount
            for table in (decisions, steps)
        }
        used = sa.delete(nonces).where(nonces.c.site == site.name, nonces.c.time < limit)
        counts["nonces"] = connection.execute(used).rowcount
        unused: Any = sa.and_(
            states.c.site == site.name,
            states.c.status.in_([status.value for status in _UNUSED]),
            states.c.decided < limit,
            states.c.delta.is_not(None),
        )
        counts["deltas"] = connection.execute(sa.update(states).where(unused).values(delta=None)).rowcount
        if any(counts.values()):
            append(connection, self.clock(), [Entry("purged", site.name, {"through": int(through), **counts})])
        return Purged(site.name, **counts)


def _taught(connection: sa.Connection, site: str, seqs: list[int]) -> list[str]:
    """States learnt from any of these steps, and every state learnt from such a state; oldest first."""
    columns = (states.c.id, states.c.parent, states.c.first_step, states.c.last_step)
    rows = connection.execute(sa.select(*columns).where(states.c.site == site).order_by(states.c.first_step))
    found: list[str] = []
    for state_id, parent, first, last in rows:
        if parent in found or any(first <= seq <= last for seq in seqs):
            found.append(state_id)
    return found
