"""Bring a database to the tables of this version; the migrations lie in the package."""

from __future__ import annotations

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


def check_version(database: Database) -> None:
    """Raise `StoreError` unless the database has the tables of this version."""
    with database.read() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    newest = ScriptDirectory(str(_SCRIPTS)).get_current_head()
    if found != newest:
        raise StoreError(f"expected a database at version {newest}, got {found or 'an empty one'}: run Store.migrate()")


def revision_of(connection: sa.Connection) -> str | None:
    """The version a database is at; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()
