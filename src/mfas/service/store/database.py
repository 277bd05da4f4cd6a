"""One database, SQLite or PostgreSQL: connections, transactions, and who may write when."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from mfas.service.store.errors import StoreError

SECRET_FILE = "mfas-service.secret"
_WRITING = "mfas_writing"
_WRITERS_TURN = 0x6D666173  # "mfas": the key of PostgreSQL's advisory lock for writing transactions
_BUSY_MS = 30_000


class Database:
    """Reading and writing transactions on ``url``: ``sqlite:///FILE`` or ``postgresql://USER@HOST/NAME``.

    Writing transactions come one after the other (SQLite: ``BEGIN IMMEDIATE``; PostgreSQL: an advisory lock held to the
    end of the transaction), because each appends to one chain. SQLite runs in WAL mode with ``synchronous`` FULL: a
    transaction that was committed survives the end of the process *and* of the power, as far as the disk keeps its
    word. With ``power_safe`` False it is NORMAL: it survives ``kill -9``, the last ones may be lost with the power.
    Without ``create`` an SQLite file must be there.
    """

    def __init__(self, url: str, *, power_safe: bool = True, create: bool = True) -> None:
        self.url = _parse(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        # Threads of one process queue here: SQLite itself would let them poll, and the unlucky starve.
        self._turn = threading.Lock() if self.is_sqlite else nullcontext()
        if self.is_sqlite:
            if create:
                _make_private(self.file)
            elif not self.file.is_file():
                raise StoreError(f"expected a database, found none at {self.file}")
            self.engine = sa.create_engine(self.url, connect_args={"timeout": _BUSY_MS / 1000})
            sa.event.listen(self.engine, "connect", _pragmas("FULL" if power_safe else "NORMAL"))
            sa.event.listen(self.engine, "begin", _begin)
        else:
            self.engine = sa.create_engine(self.url, pool_pre_ping=True)

    @property
    def file(self) -> Path:
        """The file of an SQLite database."""
        return Path(str(self.url.database))

    @property
    def shown(self) -> str:
        """The URL without its password."""
        return self.url.render_as_string(hide_password=True)

    @property
    def secret_file(self) -> Path:
        """Where the service keeps its secret unless it is told: beside an SQLite file, else in the working folder."""
        return (self.file.parent if self.is_sqlite else Path()) / SECRET_FILE

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One consistent view: what is read inside belongs together."""
        options = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with self.engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One transaction: all of it, or nothing. No other writing transaction runs meanwhile, in any process."""
        options = {_WRITING: True}
        with self._turn, self.engine.connect().execution_options(**options) as connection, connection.begin():
            if not self.is_sqlite:
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _WRITERS_TURN})
            yield connection

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise StoreError(f"expected sqlite:///FILE or postgresql://USER@HOST/NAME, got '{url}'") from None
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise StoreError("expected an SQLite file: a database in memory would lose its ledger")
        return parsed
    if kind == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    raise StoreError(f"expected an sqlite or postgresql database, got {kind}")


def _make_private(file: Path) -> None:
    """A new database file belongs to its owner alone."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as reason:
        raise StoreError(f"expected a database file that can be written, got {file} ({reason.strerror})") from None


def _pragmas(synchronous: str) -> Any:
    def connect(connection: Any, _: object) -> None:
        connection.isolation_level = None  # transactions begin in `_begin`, not where the driver guesses
        for pragma in (
            f"busy_timeout={_BUSY_MS}",
            "journal_mode=WAL",
            f"synchronous={synchronous}",
            "foreign_keys=ON",
            "secure_delete=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    return connect


def _begin(connection: sa.Connection) -> None:
    writing = connection.get_execution_options().get(_WRITING, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
