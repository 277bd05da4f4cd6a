"""Everything that changes what a site serves or learns: one transaction each, with its row of the ledger.

`mfas.service.states` says what is allowed; this file alone writes what it answers.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from mfas.service import states as machine
from mfas.service.freezing import FreezeSwitch
from mfas.service.states import SOURCE, Event, NotAllowedError, Phase, Policy, Site
from mfas.service.store.base import Part
from mfas.service.store.chain import Entry, append
from mfas.service.store.errors import StoreError
from mfas.service.store.schema import approvals, ledger, sites
from mfas.service.store.sites import check_generation, read_site
from mfas.service.store.types import NewState, Status
from mfas.service.store.weights import decide, insert_candidate, read_state
from mfas.service.verdicts import Bounds, CanaryChange, Outcome, Verdict

_MACHINE = "mfas"
"""Who decides where no person does."""


class Transitions(Part):
    """What may change a site. ``by`` says who, ``reason`` why, both in plain words."""

    bounds: Bounds
    switch: FreezeSwitch

    def submit(
        self, state: NewState, changes: tuple[CanaryChange, ...], verdict: Verdict, generation: int | None = None
    ) -> Site:
        """A candidate with what canaries showed and its verdict, all at once: promoted, rejected, or waiting.

        There is no moment at which a candidate is in force without having been promoted. Raises `NotAllowedError` when
        the site was frozen meanwhile, or its state in force is no longer the candidate's parent, or its ``generation``
        is not the one the candidate was learnt in.
        """
        now = self.clock()
        with self.database.write() as connection:
            site = read_site(connection, state.site)
            if (site.state, site.base) != (state.parent, state.base):
                raise NotAllowedError(
                    f"site {site.name}: expected a candidate learnt from {site.state[:12]}, got one from "
                    f"{state.parent[:12]}"
                )
            check_generation(site, generation)
            site = machine.propose(site, state.id)
            insert_candidate(connection, state, changes, now)
            facts = {name: getattr(state, name) for name in ("id", "parent", "base", "signature", "method", "updates")}
            facts |= {"drift": state.drift, "steps": [state.first_step, state.last_step]}
            shown = [asdict(change) for change in changes]
            self._write(connection, site, Event.PROPOSED, now, {"state": facts, "canary": _finite(shown)})
            reason = "; ".join(verdict.reasons)
            if verdict.outcome is Outcome.PROMOTE and site.policy is Policy.AUTO:
                site = self._promote(connection, site, now, _MACHINE, reason)
            elif site.policy is Policy.OBSERVE or verdict.outcome in (Outcome.REJECT, Outcome.ALARM):
                site = self._reject(connection, site, now, _MACHINE, reason)
            if verdict.outcome is Outcome.ALARM:
                site = self._alarm(connection, site, now, reason)
            return site

    def approve(self, name: str, state_id: str, by: str, reason: str = "") -> Site:
        """A person puts the candidate in force. `NotAllowedError` when it does not wait, or the site is frozen."""
        now = self.clock()
        with self.database.write() as connection:
            site = read_site(connection, name)
            _same_candidate(site, state_id)
            site = self._promote(connection, site, now, by, reason)
            self._approval(connection, site, "approve", state_id, now, by, reason)
            return site

    def reject(self, name: str, state_id: str, by: str, reason: str = "") -> Site:
        """A person drops the waiting candidate; its shadow starts again from the state in force."""
        now = self.clock()
        with self.database.write() as connection:
            site = read_site(connection, name)
            _same_candidate(site, state_id)
            site = self._reject(connection, site, now, by, reason)
            self._approval(connection, site, "reject", state_id, now, by, reason)
            return site

    def rollback(self, name: str, by: str, to: str | None = None, reason: str = "") -> Site:
        """Put an earlier promoted state, or ``source``, in force again; None = the one before the one in force.

        States after it can never be in force again. More rollbacks a day than the bounds allow raise the alarm.
        """
        now = self.clock()
        with self.database.write() as connection:
            site = read_site(connection, name)
            if site.state == SOURCE:
                raise NotAllowedError(f"site {name}: expected an adapted state in force, got the source model")
            site = self._roll_back(connection, site, to, now, by, reason)
            self._approval(connection, site, "rollback", site.state, now, by, reason)
            return site

    def freeze(self, name: str, by: str, reason: str = "") -> Site:
        """From now on the site learns nothing and takes no candidate; its state in force goes on serving."""
        now = self.clock()
        with self.database.write() as connection:
            site = read_site(connection, name)
            if site.frozen:
                return site
            site = machine.freeze(site, by)
            self._write(connection, site, Event.FROZEN, now, {"by": by, "reason": reason})
            self._approval(connection, site, "freeze", site.state, now, by, reason)
            return site

    def unfreeze(self, name: str, by: str, reason: str = "") -> Site:
        """The site may learn again, after whatever cool-down is left."""
        now = self.clock()
        with self.database.write() as connection:
            site = machine.unfreeze(read_site(connection, name))
            self._write(connection, site, Event.UNFROZEN, now, {"by": by, "reason": reason})
            self._approval(connection, site, "unfreeze", site.state, now, by, reason)
            return site

    def alarm(self, name: str, reason: str, *, bad_state: str | None = None) -> Site:
        """Freeze the site until a person has looked. If ``bad_state`` is in force, what stood before it is put back.

        Does nothing when the site is in alarm already and serves another state.
        """
        now = self.clock()
        with self.database.write() as connection:
            site = read_site(connection, name)
            bad = bad_state is not None and site.state == bad_state
            if bad:
                site = self._roll_back(connection, site, None, now, _MACHINE, reason)
            if bad or site.phase is not Phase.ALARM:
                site = self._alarm(connection, site, now, reason)
            return site

    def rest_over(self, name: str) -> Site:
        """The cool-down after a rollback has passed; `NotAllowedError` when it has not."""
        now = self.clock()
        with self.database.write() as connection:
            site = machine.rest_over(read_site(connection, name))
            self._write(connection, site, Event.RESTED, now, {})
            return site

    def adopt_base(self, name: str, base: str, by: str = _MACHINE) -> Site:
        """The site's model is now the one whose card has this hash: states of another can never be in force again.

        Does nothing when it is that model already.
        """
        now = self.clock()
        with self.database.write() as connection:
            site = read_site(connection, name)
            if site.base == base:
                return site
            gone = self._after(connection, site, SOURCE) + ([site.candidate] if site.candidate else [])
            decide(connection, gone, Status.RETIRED, now, by, "the source model was replaced")
            facts = {"by": by, "from": site.base, "to": base, "retired": gone}
            phase = site.phase if site.frozen or site.phase is Phase.ROLLED_BACK else Phase.OBSERVING
            values: dict[str, Any] = {"state": SOURCE, "base": base, "candidate": None, "phase": phase.value}
            values["generation"] = site.generation + 1
            connection.execute(sa.update(sites).where(sites.c.name == name).values(values))
            append(connection, now, [Entry("base_adopted", name, facts)])
            return read_site(connection, name)

    # -- inside a transaction ----------------------------------------------------------------------------------------

    def _promote(self, connection: sa.Connection, site: Site, now: datetime, by: str, reason: str) -> Site:
        thrown = self.switch.thrown()
        if thrown is not None:
            raise NotAllowedError(f"site {site.name}: expected a site that is not frozen, got one frozen by {thrown}")
        candidate = str(site.candidate)
        before = site.state
        site = machine.promote(site, candidate)
        decide(connection, [candidate], Status.PROMOTED, now, by, reason)
        facts = {"from": before, "to": candidate, "by": by, "reason": reason}
        self._write(connection, site, Event.PROMOTED, now, facts)
        return site

    def _reject(self, connection: sa.Connection, site: Site, now: datetime, by: str, reason: str) -> Site:
        candidate, observes = str(site.candidate), site.policy is Policy.OBSERVE
        site = machine.reject(site, candidate, self.bounds, counts=not observes)
        status = Status.OBSERVED if observes else Status.REJECTED
        decide(connection, [candidate], status, now, by, reason)
        facts = {"state": candidate, "status": status.value, "by": by, "reason": reason}
        self._write(connection, site, Event.REJECTED, now, facts)
        return site

    def _roll_back(
        self, connection: sa.Connection, site: Site, to: str | None, now: datetime, by: str, reason: str
    ) -> Site:
        target = read_state(connection, site.state).parent if to is None else to
        gone, dropped, before = self._after(connection, site, target), site.candidate, site.state
        site = machine.roll_back(site, target, self.bounds)
        decide(connection, gone, Status.ROLLED_BACK, now, by, reason)
        if dropped is not None:
            decide(connection, [dropped], Status.WITHDRAWN, now, by, "the state it was learnt from was rolled back")
        facts = {"from": before, "to": target, "gone": gone, "by": by, "reason": reason}
        self._write(connection, site, Event.ROLLED_BACK, now, facts)
        day = sa.select(ledger.c.time).where(
            ledger.c.site == site.name,
            ledger.c.kind == Event.ROLLED_BACK.value,
            ledger.c.time > now - timedelta(days=1),
        )
        if machine.too_many_rollbacks([row[0] for row in connection.execute(day)], now, self.bounds):
            return self._alarm(connection, site, now, f"more than {self.bounds.rollbacks_per_day} rollbacks in a day")
        return site

    def _after(self, connection: sa.Connection, site: Site, target: str) -> list[str]:
        """The states from the one in force back to ``target``, without it; it must be one that led here."""
        found: list[str] = []
        current = site.state
        while current not in (target, SOURCE):
            found.append(current)
            current = read_state(connection, current).parent
        if current != target:
            raise StoreError(f"expected a state that was in force before {site.state[:12]}, got {target[:80]!r}")
        return found

    def _alarm(self, connection: sa.Connection, site: Site, now: datetime, reason: str) -> Site:
        site = machine.alarm(site, _MACHINE)
        self._write(connection, site, Event.ALARM, now, {"reason": reason, "state": site.state})
        return site

    def _write(self, connection: sa.Connection, site: Site, event: Event, now: datetime, facts: dict[str, Any]) -> None:
        names = ("frozen", "frozen_by", "state", "candidate", "cool_down_until", "rejections", "generation")
        values = {name: getattr(site, name) for name in names} | {"phase": site.phase.value}
        connection.execute(sa.update(sites).where(sites.c.name == site.name).values(values))
        append(connection, now, [Entry(event.value, site.name, facts)])

    def _approval(
        self, connection: sa.Connection, site: Site, action: str, state: str, now: datetime, by: str, reason: str
    ) -> None:
        facts = {"site": site.name, "action": action, "state": state, "by": by, "reason": reason[:1000], "time": now}
        connection.execute(sa.insert(approvals).values(facts))


def _same_candidate(site: Site, state_id: str) -> None:
    if site.candidate is None or site.candidate != state_id:
        raise NotAllowedError(f"site {site.name}: expected the candidate that waits, got {state_id[:80]!r}")


def _finite(value: Any) -> Any:
    """The same with numbers that JSON cannot hold as text."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and value - value != 0 else value
