"""Decisions keep their decision record; steps keep the model they were made on and what moved the weight."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns; rows of before keep none of it, and their hashes."""
    op.add_column("decisions", sa.Column("record", sa.Text(), nullable=True))
    op.add_column("steps", sa.Column("model_id", sa.String(length=64), nullable=True))
    op.add_column("steps", sa.Column("signals", sa.Text(), nullable=True))
