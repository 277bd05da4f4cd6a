"""Sites: made once, with a policy, a switch to freeze them, and how long their decisions are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from mfas.service.states import SOURCE, NotAllowedError, Phase, Policy, Site
from mfas.service.store.base import Part
from mfas.service.store.chain import Entry, append
from mfas.service.store.errors import StoreError, UnknownSiteError
from mfas.service.store.schema import sites
from mfas.service.store.types import DEFAULT_RETENTION_DAYS, check_retention, check_site_name


class Sites(Part):
    """What the store knows of sites."""

    def add_site(
        self,
        name: str,
        policy: Policy = Policy.OFF,
        retention_days: int = DEFAULT_RETENTION_DAYS,
        by: str = "system",
    ) -> Site:
        """Make a site that serves the source model. Raises `StoreError` for a bad name or one that is taken."""
        check_site_name(name)
        check_retention(retention_days)
        now = self.clock()
        with self.database.write() as connection:
            if connection.execute(sa.select(sites.c.name).where(sites.c.name == name)).first():
                raise StoreError(f"expected a new site, got '{name}', which is there")
            values = {
                "name": name,
                "policy": policy.value,
                "phase": Phase.OBSERVING.value,
                "frozen": False,
                "frozen_by": None,
                "state": SOURCE,
                "base": "",
                "candidate": None,
                "retention_days": retention_days,
                "decisions": 0,
                "cool_down_until": 0,
                "rejections": 0,
                "generation": 0,
                "created": now,
            }
            connection.execute(sa.insert(sites).values(values))
            facts = {"policy": policy.value, "retention_days": retention_days, "by": by}
            append(connection, now, [Entry("site_added", name, facts)])
            return read_site(connection, name)

    def site(self, name: str) -> Site:
        """The site of that name; `UnknownSiteError` where there is none."""
        with self.database.read() as connection:
            return read_site(connection, name)

    def sites(self) -> tuple[Site, ...]:
        """All sites by name."""
        with self.database.read() as connection:
            rows = connection.execute(sa.select(sites).order_by(sites.c.name)).mappings()
            return tuple(to_site(row) for row in rows)

    def set_policy(self, name: str, policy: Policy, by: str) -> Site:
        """What adaptation may do at the site from now on; a state in force stays in force."""
        return self._change(name, {"policy": policy.value}, "policy_set", by)

    def set_retention(self, name: str, days: int, by: str) -> Site:
        """How many days decisions are kept; `StoreError` outside 1 day to three years."""
        return self._change(name, {"retention_days": check_retention(days)}, "retention_set", by)

    def _change(self, name: str, values: Mapping[str, Any], kind: str, by: str) -> Site:
        now = self.clock()
        with self.database.write() as connection:
            read_site(connection, name)
            connection.execute(sa.update(sites).where(sites.c.name == name).values(**values))
            append(connection, now, [Entry(kind, name, {**values, "by": by})])
            return read_site(connection, name)


def read_site(connection: sa.Connection, name: str) -> Site:
    """The site inside a transaction that is open; `UnknownSiteError` where there is none."""
    row = connection.execute(sa.select(sites).where(sites.c.name == name)).mappings().first()
    if row is None:
        raise UnknownSiteError(f"expected a site that is there, got {name[:80]!r}")
    return to_site(row)


def check_generation(site: Site, generation: int | None) -> None:
    """Raise `NotAllowedError` when shadows were told to start afresh since ``generation`` was read."""
    if generation is not None and site.generation != generation:
        raise NotAllowedError(f"site {site.name}: expected what was learnt since the last fresh start, got older")


def to_site(row: Mapping[Any, Any]) -> Site:
    """A site from its row."""
    facts = dict(row)
    return Site(**{**facts, "policy": Policy(facts["policy"]), "phase": Phase(facts["phase"])})
