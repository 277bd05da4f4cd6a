"""The store: one object for all that the service must not forget."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from mfas.service.store.answers import Answers
from mfas.service.store.database import Database
from mfas.service.store.keyring import Keyring
from mfas.service.store.ledger_rows import LedgerRows
from mfas.service.store.migrating import check_version, migrate
from mfas.service.store.sites import Sites
from mfas.service.store.types import utc_now


class Store(Sites, Keyring, Answers, LedgerRows):
    """Sites, keys, decisions, states and the ledger, in SQLite (one machine) or PostgreSQL (several nodes).

    Synchronous, and safe to be used by many threads. Every write is one transaction with its rows of the ledger. See
    `Database` for URLs, ``power_safe`` and what survives which end.
    """

    def __init__(self, url: str, *, power_safe: bool = True, clock: Callable[[], datetime] = utc_now) -> None:
        self.database = Database(url, power_safe=power_safe)
        self.clock = clock

    def migrate(self) -> None:
        """Make or update the tables; does nothing where they are up to date."""
        migrate(self.database)

    def check(self) -> None:
        """Raise `StoreError` unless the tables are those of this version: what a ready probe asks."""
        check_version(self.database)

    def close(self) -> None:
        """Give all connections back."""
        self.database.close()
