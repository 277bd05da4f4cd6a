"""Alembic runs this file: migrations go through the connection that `mfas.service.store.migrating` holds."""

from alembic import context

from mfas.service.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
