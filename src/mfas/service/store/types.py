"""The records the store takes and gives. Times are aware and in UTC; hashes are lower-case hex of SHA-256."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mfas.service.states import SOURCE, Phase, Policy
from mfas.service.store.errors import StoreError

SITE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
DEFAULT_RETENTION_DAYS = 30
LONGEST_RETENTION_DAYS = 3 * 365
"""Ceiling of every site's retention: three years."""


def utc_now() -> datetime:
    """The clock of the store unless it is given another."""
    return datetime.now(UTC)


def check_site_name(name: str) -> str:
    """``name`` if it may name a site; `StoreError` otherwise."""
    if not SITE_NAME.fullmatch(name):
        raise StoreError(f"expected a site name of a-z, 0-9, _ and -, 64 at most, got {name[:80]!r}")
    return name


def check_retention(days: int) -> int:
    """``days`` if a site may keep decisions so long; `StoreError` otherwise."""
    if not 1 <= days <= LONGEST_RETENTION_DAYS:
        raise StoreError(f"expected a retention of 1 to {LONGEST_RETENTION_DAYS} days, got {days}")
    return days


@dataclass(frozen=True, slots=True)
class Site:
    """A site and where it stands.

    ``state``: id of the state in force, or ``source``. ``base``: SHA-256 of the model card its states belong to, empty
    before there was any. ``candidate``: id of the state that waits for a verdict. ``decisions``: how many were ever
    recorded. Until they reach ``cool_down_until`` nothing is learnt. ``rejections``: candidates rejected in a row.
    ``generation`` grows whenever a shadow must start afresh.
    """

    name: str
    policy: Policy
    phase: Phase
    frozen: bool
    frozen_by: str | None
    state: str
    base: str
    candidate: str | None
    retention_days: int
    decisions: int
    cool_down_until: int
    rejections: int
    generation: int
    created: datetime


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """One answer of the service, as it is kept: no pixels, no embeddings, no plain pseudonyms.

    ``outcome`` is ``scored``, ``no_face`` or ``cannot_judge`` (then with a ``reason`` and no score). ``score`` is the
    rounded one that went out. ``subject``, ``device``, ``session`` and ``nonce`` are keyed hashes, see
    `mfas.service.signing.Secret.pseudonym`. ``model_id``: SHA-256 of the model card. ``state_id``: ``source`` or the id
    of an adapted state.
    """

    request_id: str
    site: str
    outcome: str
    present: str
    missing: str
    model_id: str
    state_id: str = SOURCE
    time: datetime = field(default_factory=utc_now)
    key_id: str | None = None
    reason: str | None = None
    decision: str | None = None
    score: float | None = None
    threshold: float | None = None
    threshold_id: str | None = None
    modality_scores: Mapping[str, float] = field(default_factory=dict)
    uncertainty: float | None = None
    substituted: tuple[str, ...] = ()
    subject: str | None = None
    device: str | None = None
    session: str | None = None
    nonce: str | None = None


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One row of the ledger; ``hash`` covers everything else."""

    seq: int
    time: datetime
    kind: str
    site: str | None
    payload: Mapping[str, Any]
    previous: str
    hash: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What recording gave: the ledger row of a decision."""

    request_id: str
    seq: int
    hash: str
