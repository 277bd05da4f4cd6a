"""Bring a database to the tables of this version; the migrations lie in the package."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from mfas.service.store.database import Database
from mfas.service.store.errors import StoreError

_SCRIPTS = Path(__file__).parent / "migrations"


def migrate(database: Database, revision: str = "head") -> None:
    """Apply what is missing, in one transaction: a migration that fails leaves the database as it was.

    Does nothing where nothing is missing. Raises `StoreError` for a database that a newer version has migrated.
    """
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    with database.write() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, revision)
        except CommandError as reason:
            raise StoreError(f"expected a database of this version or an older one: {reason}") from None


def version(database: Database) -> str | None:
    """The newest migration that was applied; None for an empty database. `StoreError` for one that cannot be read."""
    try:
        with database.read() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    except (sa.exc.DBAPIError, sqlite3.DatabaseError) as reason:
        said = str(getattr(reason, "orig", reason)).splitlines()[0]
        raise StoreError(f"expected a database, got one that cannot be read: {said}") from None


def check_version(database: Database) -> None:
    """Raise `StoreError` unless the database has the tables of this version."""
    found, newest = version(database), ScriptDirectory(str(_SCRIPTS)).get_current_head()
    if found != newest:
        raise StoreError(f"expected a database at version {newest}, got {found or 'an empty one'}: mfas store migrate")
