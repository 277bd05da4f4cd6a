"""States in the store: deltas as bytes, so that nodes share them, with what a canary showed and who decided."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from math import nan
from typing import Any

import sqlalchemy as sa

from mfas.service.store.base import Part
from mfas.service.store.chain import canonical
from mfas.service.store.errors import StoreError
from mfas.service.store.schema import approvals, canary_results, states
from mfas.service.store.types import Approval, NewState, State, Status
from mfas.service.verdicts import CanaryChange, CanaryFigures

LARGEST_DELTA = 16 * 2**20
"""Bytes; a delta is the moved tensors only, kilobytes for the methods here."""

_FACTS = [column for column in states.c if column.name != "delta"]


class Weights(Part):
    """What the store knows of states."""

    def state(self, state_id: str) -> State:
        """The record of a state; `StoreError` where there is none."""
        with self.database.read() as connection:
            return read_state(connection, state_id)

    def states(self, site: str, *, limit: int = 100) -> tuple[State, ...]:
        """States of a site, newest first."""
        found = _select().where(states.c.site == site).order_by(states.c.created.desc()).limit(limit)
        with self.database.read() as connection:
            return tuple(_state(row) for row in connection.execute(found).mappings())

    def delta(self, state_id: str) -> bytes:
        """The safetensors bytes of a state, *unchecked*; `mfas.service.in_force` checks hash and signature."""
        with self.database.read() as connection:
            found = connection.execute(sa.select(states.c.delta).where(states.c.id == state_id)).first()
        if found is None or found[0] is None:
            raise StoreError(f"expected a state whose weights are kept, got {state_id[:80]!r}")
        return bytes(found[0])

    def canary_changes(self, state_id: str) -> tuple[CanaryChange, ...]:
        """What canaries showed of a state, before and after; of each canary one entry, by name."""
        found = sa.select(canary_results).where(canary_results.c.state == state_id)
        with self.database.read() as connection:
            rows = connection.execute(found.order_by(canary_results.c.canary)).mappings().all()
        by_name: dict[str, dict[str, Mapping[Any, Any]]] = {}
        for row in rows:
            by_name.setdefault(row["canary"], {})[row["moment"]] = row
        return tuple(_change(name, both["before"], both["after"]) for name, both in by_name.items())

    def approvals(self, site: str, *, limit: int = 100) -> tuple[Approval, ...]:
        """What people did to the site, newest first."""
        found = sa.select(approvals).where(approvals.c.site == site).order_by(approvals.c.id.desc()).limit(limit)
        with self.database.read() as connection:
            rows = connection.execute(found).mappings().all()
        return tuple(Approval(**{key: row[key] for key in row if key != "id"}) for row in rows)


def read_state(connection: sa.Connection, state_id: str) -> State:
    """The record of a state inside a transaction; `StoreError` where there is none."""
    row = connection.execute(_select().where(states.c.id == state_id)).mappings().first()
    if row is None:
        raise StoreError(f"expected the id of a state, got {state_id[:80]!r}")
    return _state(row)


def insert_candidate(
    connection: sa.Connection, state: NewState, changes: tuple[CanaryChange, ...], now: datetime
) -> None:
    """Write a candidate with its canary results; `StoreError` when its bytes are too many or not those of its id."""
    if len(state.delta) > LARGEST_DELTA:
        raise StoreError(f"expected a delta of at most {LARGEST_DELTA} bytes, got {len(state.delta)}")
    if hashlib.sha256(state.delta).hexdigest() != state.id:
        raise StoreError(f"expected the bytes of state {state.id[:12]}, got others")
    if connection.execute(sa.select(states.c.id).where(states.c.id == state.id)).first():
        raise StoreError(f"expected a new state, got {state.id[:12]}, which is there")
    facts = {name: getattr(state, name) for name in NewState.__slots__}
    undecided = {"decided": None, "decided_by": None, "reason": None}
    values = {**facts, **undecided, "status": Status.CANDIDATE.value, "created": now}
    connection.execute(sa.insert(states).values(values))
    rows = [
        {
            "state": state.id,
            "site": state.site,
            "canary": change.canary,
            "moment": moment,
            "digest": change.digest,
            "time": now,
            "bona_fide": figures.bona_fide,
            "attacks": figures.attacks,
            "bpcer": figures.bpcer,
            "apcer": canonical(dict(figures.apcer)),
            "flips": change.flips if moment == "after" else None,
            "spoof_rise": change.spoof_rise if moment == "after" else None,
        }
        for change in changes
        for moment, figures in (("before", change.before), ("after", change.after))
    ]
    if rows:
        connection.execute(sa.insert(canary_results), rows)


def decide(
    connection: sa.Connection, state_ids: list[str], status: Status, now: datetime, by: str, reason: str | None
) -> None:
    """Write what became of states, and who said so."""
    values = {"status": status.value, "decided": now, "decided_by": by, "reason": reason and reason[:1000]}
    connection.execute(sa.update(states).where(states.c.id.in_(state_ids)).values(values))


def _select() -> sa.Select[Any]:
    return sa.select(*_FACTS, sa.func.coalesce(sa.func.length(states.c.delta), 0).label("size"))


def _state(row: Mapping[Any, Any]) -> State:
    return State(**{**row, "status": Status(row["status"])})


def _change(name: str, before: Mapping[Any, Any], after: Mapping[Any, Any]) -> CanaryChange:
    flips, rise = (nan if after[key] is None else float(after[key]) for key in ("flips", "spoof_rise"))
    return CanaryChange(name, after["digest"], _figures(before), _figures(after), flips, rise)


def _figures(row: Mapping[Any, Any]) -> CanaryFigures:
    return CanaryFigures(row["bona_fide"], row["attacks"], row["bpcer"], json.loads(row["apcer"]))
