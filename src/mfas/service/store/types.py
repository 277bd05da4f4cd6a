"""The records the store takes and gives. Times are aware and in UTC; hashes are lower-case hex of SHA-256."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from mfas.service.states import SOURCE
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
class StoredDecision:
    """One answer of the service, as it is kept: no pixels, no embeddings, no plain pseudonyms.

    ``outcome`` is ``scored``, ``no_face`` or ``cannot_judge`` (then with a ``reason`` and no score). ``score`` is the
    rounded one that went out. ``subject``, ``device``, ``session`` and ``nonce`` are keyed hashes, see
    `mfas.service.signing.Secret.pseudonym`. ``model_id``: SHA-256 of the model card. ``state_id``: ``source`` or the id
    of an adapted state. ``record`` is the decision record in JSON form (`mfas.export.record`), rounded like the score;
    None for decisions from before there was one. It holds nothing of learning: that is a `Step`.
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
    record: Mapping[str, Any] | None = None


class Status(StrEnum):
    """What became of a state. ``observed``: made at a site that only observes. ``withdrawn``: dropped unjudged."""

    CANDIDATE = "candidate"
    PROMOTED = "promoted"
    REJECTED = "rejected"
    OBSERVED = "observed"
    WITHDRAWN = "withdrawn"
    ROLLED_BACK = "rolled_back"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class NewState:
    """A candidate as a shadow makes it.

    ``delta``: the bytes of its safetensors file, of which ``id`` is the SHA-256. ``parent``: the state in force it was
    learnt from. ``updates``: how many since the source. Its captures are the steps from ``first_step`` to
    ``last_step``, numbers of the ledger.
    """

    id: str
    site: str
    parent: str
    base: str
    signature: str
    method: str
    updates: int
    first_step: int
    last_step: int
    drift: float
    delta: bytes


@dataclass(frozen=True, slots=True)
class State:
    """A state as the store knows it, without its bytes; ``size`` is theirs, 0 once they were dropped."""

    id: str
    site: str
    parent: str
    base: str
    signature: str
    status: Status
    method: str
    updates: int
    first_step: int
    last_step: int
    drift: float
    created: datetime
    decided: datetime | None
    decided_by: str | None
    reason: str | None
    size: int


@dataclass(frozen=True, slots=True)
class Step:
    """What a shadow made of one capture; identities are keyed hashes.

    ``accepted``: it passed the gate as ``pseudo_label``. ``updated``: the weights moved with its batch, by ``loss`` and
    ``loss_weight``; otherwise ``reason`` says why not. ``parent``: the state the shadow had started from.
    ``model_id``: SHA-256 of the source model's card. ``signals`` name what moved the weight. Steps from before these
    were kept have none.
    """

    request_id: str
    subject: str | None
    device: str | None
    session: str | None
    accepted: bool
    pseudo_label: str | None
    updated: bool
    reason: str | None
    loss: float | None
    loss_weight: float | None
    drift: float
    parent: str
    model_id: str | None = None
    signals: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Approval:
    """What a person did to a site: approve, reject, roll back, freeze, unfreeze; ``state`` is the one it was about."""

    site: str
    action: str
    state: str
    by: str
    reason: str | None
    time: datetime


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
