"""The store: one object for all that the service must not forget."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from datetime import datetime

import sqlalchemy as sa

from mfas.service.freezing import FreezeSwitch
from mfas.service.signing import Secret
from mfas.service.store.answers import Answers
from mfas.service.store.database import Database
from mfas.service.store.errors import StoreError
from mfas.service.store.glances import Glances
from mfas.service.store.keyring import Keyring
from mfas.service.store.ledger_rows import LedgerRows
from mfas.service.store.lessons import Lessons
from mfas.service.store.migrating import check_version, migrate, version
from mfas.service.store.retention import Retention
from mfas.service.store.schema import meta
from mfas.service.store.sites import Sites
from mfas.service.store.together import Together
from mfas.service.store.transitions import Transitions
from mfas.service.store.types import utc_now
from mfas.service.store.weights import Weights
from mfas.service.verdicts import Bounds


class Store(Sites, Keyring, Answers, Lessons, Weights, Transitions, Retention, LedgerRows, Glances):
    """Sites, keys, decisions, states and the ledger, in SQLite (one machine) or PostgreSQL (several nodes).

    Synchronous, and safe to be used by many threads. Every write is one transaction with its rows of the ledger. See
    `Database` for URLs, ``power_safe`` and what survives which end.
    """

    def __init__(
        self,
        url: str,
        *,
        power_safe: bool = True,
        create: bool = True,
        bounds: Bounds | None = None,
        switch: FreezeSwitch | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.database = Database(url, power_safe=power_safe, create=create)
        self.bounds = Bounds() if bounds is None else bounds
        self.switch = self._default_switch() if switch is None else switch
        self.clock = clock
        self.together = Together(self.record_together)

    def _default_switch(self) -> FreezeSwitch:
        """The environment and, beside an SQLite database, the file ``DATABASE.freeze``."""
        file = self.database.file
        return FreezeSwitch(file.with_name(f"{file.name}.freeze") if self.database.is_sqlite else None)

    def migrate(self) -> None:
        """Make or update the tables; does nothing where they are up to date."""
        migrate(self.database)

    def bind(self, secret: Secret) -> None:
        """Tell the database whose it is; `StoreError` when it belongs to another secret than ``secret``.

        Nodes that share a database must share the secret: with two, each would take the other's states for forgeries,
        and a subject would have two hashes.
        """
        own = secret.fingerprint()
        with self.database.write() as connection:
            found = connection.execute(sa.select(meta.c.value).where(meta.c.key == "secret")).scalar_one_or_none()
            if found is None:
                connection.execute(sa.insert(meta).values(key="secret", value=own))
            elif not hmac.compare_digest(found, own):
                raise StoreError("expected the secret this database was made with, got another one")

    def check(self) -> None:
        """Raise `StoreError` unless the tables are those of this version: what a ready probe asks."""
        check_version(self.database)

    def version(self) -> str | None:
        """Which migration the tables are at; None for an empty database."""
        return version(self.database)

    def close(self) -> None:
        """Give all connections back."""
        self.database.close()
