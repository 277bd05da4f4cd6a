"""The tables. What they look like on disk is made by the migrations beside this file; a test compares the two."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Utc(sa.TypeDecorator[datetime]):
    """An aware time as text, ``2026-01-31T08:00:00.000000Z``.

    Text of one width sorts as the times do, reads back the same from every database, and so can be hashed.
    """

    impl = sa.String(27)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> str | None:
        """To text; a naive time is a fault of the program."""
        del dialect
        return None if value is None else utc_text(value)

    def process_result_value(self, value: Any, dialect: Any) -> datetime | None:
        """From text."""
        del dialect
        return None if value is None else datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def utc_text(value: datetime) -> str:
    """The text of an aware time; `ValueError` for a naive one."""
    if value.tzinfo is None:
        raise ValueError(f"expected a time with its zone, got {value}")
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _text(name: str, size: int, **more: Any) -> sa.Column[str]:
    return sa.Column(name, sa.String(size), **{"nullable": False, **more})


def _number(name: str, **more: Any) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, **{"nullable": False, **more})


def _real(name: str, **more: Any) -> sa.Column[float]:
    return sa.Column(name, sa.Double, **{"nullable": True, **more})


def _time(name: str, **more: Any) -> sa.Column[datetime]:
    return sa.Column(name, Utc, **{"nullable": False, **more})


def _site(**more: Any) -> sa.Column[str]:
    return sa.Column("site", sa.String(64), sa.ForeignKey("sites.name"), **{"nullable": False, **more})


meta = sa.Table("meta", metadata, _text("key", 64, primary_key=True), _text("value", 256))

sites = sa.Table(
    "sites",
    metadata,
    _text("name", 64, primary_key=True),
    _text("policy", 16),
    _text("phase", 16),
    sa.Column("frozen", sa.Boolean, nullable=False),
    _text("frozen_by", 200, nullable=True),
    _text("state", 64),
    _text("base", 64),
    _text("candidate", 64, nullable=True),
    _number("retention_days"),
    _number("decisions"),
    _number("cool_down_until"),
    _number("rejections"),
    _number("generation"),
    _time("created"),
)

keys = sa.Table(
    "keys",
    metadata,
    _text("id", 32, primary_key=True),
    _text("name", 200),
    _text("digest", 64, unique=True),
    _text("scopes", 64),
    _site(nullable=True),
    _time("created"),
    _time("revoked", nullable=True),
)

states = sa.Table(
    "states",
    metadata,
    _text("id", 64, primary_key=True),
    _site(),
    _text("parent", 64),
    _text("base", 64),
    _text("signature", 64),
    _text("status", 16),
    _text("method", 200),
    _number("updates"),
    _number("first_step"),
    _number("last_step"),
    _real("drift", nullable=False),
    _time("created"),
    _time("decided", nullable=True),
    _text("decided_by", 200, nullable=True),
    _text("reason", 1000, nullable=True),
    sa.Column("delta", sa.LargeBinary, nullable=True),
    sa.Index(None, "site", "created"),
)

decisions = sa.Table(
    "decisions",
    metadata,
    _number("seq", primary_key=True, autoincrement=False),
    _text("request_id", 64, unique=True),
    _site(),
    _text("key_id", 32, nullable=True),
    _time("time"),
    _text("outcome", 32),
    _text("reason", 200, nullable=True),
    _text("decision", 32, nullable=True),
    _real("score"),
    _real("threshold"),
    _text("threshold_id", 128, nullable=True),
    _text("present", 32),
    _text("missing", 32),
    sa.Column("modality_scores", sa.Text, nullable=False),
    _real("uncertainty"),
    _text("substituted", 32),
    _text("model_id", 64),
    _text("state_id", 64),
    _text("subject", 64, nullable=True),
    _text("device", 64, nullable=True),
    _text("session", 64, nullable=True),
    _text("nonce", 64, nullable=True),
    sa.Column("record", sa.Text, nullable=True),
    sa.Index(None, "site", "time"),
    sa.Index(None, "site", "subject"),
)

nonces = sa.Table("nonces", metadata, _site(primary_key=True), _text("nonce", 64, primary_key=True), _time("time"))

steps = sa.Table(
    "steps",
    metadata,
    _number("seq", primary_key=True, autoincrement=False),
    _site(),
    _time("time"),
    _text("request_id", 64),
    _text("subject", 64, nullable=True),
    _text("device", 64, nullable=True),
    _text("session", 64, nullable=True),
    sa.Column("accepted", sa.Boolean, nullable=False),
    _text("pseudo_label", 16, nullable=True),
    sa.Column("updated", sa.Boolean, nullable=False),
    _text("reason", 200, nullable=True),
    _real("loss"),
    _real("loss_weight"),
    _real("drift", nullable=False),
    _text("parent", 64),
    _text("model_id", 64, nullable=True),
    sa.Column("signals", sa.Text, nullable=True),
    sa.Index(None, "site", "time"),
    sa.Index(None, "site", "subject"),
    sa.Index(None, "site", "device"),
    sa.Index(None, "site", "session"),
)

canary_results = sa.Table(
    "canary_results",
    metadata,
    _text("state", 64, primary_key=True),
    _text("canary", 16, primary_key=True),
    _text("moment", 16, primary_key=True),
    _site(),
    _text("digest", 64),
    _time("time"),
    _number("bona_fide"),
    _number("attacks"),
    _real("bpcer", nullable=False),
    sa.Column("apcer", sa.Text, nullable=False),
    _real("flips"),
    _real("spoof_rise"),
)

approvals = sa.Table(
    "approvals",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    _site(),
    _text("action", 16),
    _text("state", 64),
    _text("by", 200),
    _text("reason", 1000, nullable=True),
    _time("time"),
    sa.Index(None, "site", "time"),
)

ledger = sa.Table(
    "ledger",
    metadata,
    _number("seq", primary_key=True, autoincrement=False),
    _time("time"),
    _text("kind", 32),
    _text("site", 64, nullable=True),
    sa.Column("payload", sa.Text, nullable=False),
    _text("previous", 64),
    _text("hash", 64),
    sa.Index(None, "site", "seq"),
    sa.Index(None, "site", "kind", "seq"),
)

ledger_head = sa.Table(
    "ledger_head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    _number("seq"),
    _text("hash", 64),
)
