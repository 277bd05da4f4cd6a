"""One leader per site: the only process whose shadow learns there.

Leadership ends with the process, however it ends. It keeps work from being done twice; that states cannot fork does not
rest on it, but on the store, which takes a candidate only on top of the state in force.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import suppress
from typing import Protocol

import sqlalchemy as sa

from mfas.service.store.database import Database


class Lease(Protocol):
    """Leadership of one site."""

    def hold(self) -> bool:
        """Take it if it is free; whether it is ours now."""

    def release(self) -> None:
        """Give it back."""


def lease(database: Database, site: str) -> Lease:
    """A lease of ``site`` as the database allows: a locked file beside SQLite's, an advisory lock in PostgreSQL."""
    return FileLease(database, site) if database.is_sqlite else SessionLease(database, site)


class FileLease:
    """An ``flock`` on ``DATABASE.SITE.leader``; the kernel drops it when the process is gone."""

    def __init__(self, database: Database, site: str) -> None:
        self._path = database.file.with_name(f"{database.file.name}.{site}.leader")
        self._handle: int | None = None

    def hold(self) -> bool:
        """See `Lease`."""
        if self._handle is not None:
            return True
        handle = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._handle = handle
        return True

    def release(self) -> None:
        """See `Lease`."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class SessionLease:
    """A session's advisory lock on a connection of its own; the server drops it when the connection is gone."""

    def __init__(self, database: Database, site: str) -> None:
        self._engine = database.engine
        digest = hashlib.sha256(f"mfas leader {site}".encode()).digest()
        self._key = int.from_bytes(digest[:8], "big", signed=True)
        self._connection: sa.Connection | None = None

    def hold(self) -> bool:
        """See `Lease`; a connection that was lost is noticed here, and leadership with it."""
        if self._connection is not None:
            try:
                self._connection.execute(sa.text("SELECT 1"))
            except sa.exc.DBAPIError:
                self.release()
            else:
                return True
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        taken = connection.execute(sa.text("SELECT pg_try_advisory_lock(:key)"), {"key": self._key}).scalar_one()
        if not taken:
            connection.close()
            return False
        self._connection = connection
        return True

    def release(self) -> None:
        """See `Lease`."""
        if self._connection is not None:
            with suppress(sa.exc.SQLAlchemyError):
                self._connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": self._key})
            # Closed for good, not given back to the pool: whatever happened, the session's locks end with it.
            self._connection.invalidate()
            self._connection.close()
            self._connection = None
