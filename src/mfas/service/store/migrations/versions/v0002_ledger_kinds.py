"""Rows of one kind at one site are found without reading the site's whole ledger."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the index."""
    op.create_index("ix_ledger_site_kind_seq", "ledger", ["site", "kind", "seq"], unique=False)
