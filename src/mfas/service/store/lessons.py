"""Steps in the store: what shadows made of captures, and how much an identity has taught lately."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mfas.service.store.base import Part
from mfas.service.store.chain import Entry, append, canonical, content_hash, next_seq
from mfas.service.store.schema import steps
from mfas.service.store.sites import check_generation, read_site
from mfas.service.store.types import Step


class Lessons(Part):
    """What the store knows of learning."""

    def record_steps(self, site: str, given: Sequence[Step], generation: int | None = None) -> tuple[int, ...]:
        """Write steps and their ledger rows in one transaction; gives their numbers.

        Raises `NotAllowedError` when shadows were told to start afresh since ``generation`` was read: a subject that
        was deleted while its capture was being learnt from must not come back.
        """
        if not given:
            return ()
        now = self.clock()
        with self.database.write() as connection:
            check_generation(read_site(connection, site), generation)
            first = next_seq(connection)
            rows = [
                {"seq": seq, "site": site, "time": now, **_row(step)} for seq, step in enumerate(given, start=first)
            ]
            connection.execute(sa.insert(steps), rows)
            placed = append(connection, now, [Entry("step", site, {"row": content_hash(row)}) for row in rows])
        return tuple(seq for seq, _ in placed)

    def steps(self, site: str, *, limit: int = 100, before: int | None = None) -> tuple[tuple[int, Step], ...]:
        """Steps of a site with their ledger numbers, newest first; ``before`` continues an earlier page."""
        found = sa.select(steps).where(steps.c.site == site).order_by(steps.c.seq.desc()).limit(limit)
        if before is not None:
            found = found.where(steps.c.seq < before)
        with self.database.read() as connection:
            rows = connection.execute(found).mappings().all()
        return tuple((int(row["seq"]), _step(row)) for row in rows)

    def taught(self, site: str, column: str, value: str, since: datetime) -> int:
        """How many captures of a ``subject`` or ``device`` (its keyed hash) were accepted for learning ``since``."""
        found = sa.select(sa.func.count()).where(
            steps.c.site == site, steps.c[column] == value, steps.c.accepted, steps.c.time >= since
        )
        with self.database.read() as connection:
            return int(connection.execute(found).scalar_one())

    def session_seen(self, site: str, session: str) -> bool:
        """Whether a shadow has looked at a capture of this session before."""
        found = sa.select(steps.c.seq).where(steps.c.site == site, steps.c.session == session).limit(1)
        with self.database.read() as connection:
            return connection.execute(found).first() is not None


def _row(step: Step) -> dict[str, Any]:
    return {**asdict(step), "signals": canonical(dict(step.signals)) if step.signals else None}


def _step(row: Mapping[Any, Any]) -> Step:
    facts = {key: value for key, value in row.items() if key not in ("seq", "site", "time")}
    facts["signals"] = json.loads(facts["signals"]) if facts["signals"] else {}
    return Step(**facts)
