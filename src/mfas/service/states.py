"""A site's life with adaptation, as pure values: policy, phase, and what may lead where.

Serving weights change in exactly two transitions: promotion and rollback. Nothing here knows a database or a network::

    observing --propose--> candidate --promote--> observing (another state in force)
                                     --reject---> observing (the third in a row: a cool-down)
    any --roll back--> rolled_back --rest--> observing (after a cool-down)
    any --freeze--> frozen, any --alarm--> alarm; both --unfreeze--> observing, or candidate if one still waits
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from mfas.errors import InputError
from mfas.service.verdicts import Bounds

FIRST_SITE = "default"
"""The site that a new database begins with."""
SOURCE = "source"
"""The state in force of a site that serves the source model, and the parent of its first candidates."""


class NotAllowedError(InputError):
    """A transition that a site's state does not allow, such as a promotion while it is frozen."""


class Policy(StrEnum):
    """What a site lets adaptation do.

    ``off``: nothing. ``observe``: a shadow learns and is measured, its candidates are never served. ``approve``: a
    person approves each candidate. ``auto``: candidates within the bounds of the canary are promoted.
    """

    OFF = "off"
    OBSERVE = "observe"
    APPROVE = "approve"
    AUTO = "auto"


class Phase(StrEnum):
    """Where a site stands."""

    FROZEN = "frozen"
    OBSERVING = "observing"
    CANDIDATE = "candidate"
    ROLLED_BACK = "rolled_back"
    ALARM = "alarm"


class Event(StrEnum):
    """What can happen to a site; also the ``kind`` of the ledger's row for it."""

    PROPOSED = "proposed"
    PROMOTED = "promoted"
    REJECTED = "rejected"
    ROLLED_BACK = "rolled_back"
    RESTED = "rested"
    FROZEN = "frozen"
    UNFROZEN = "unfrozen"
    ALARM = "alarm"


_ANY = frozenset(Phase)
TRANSITIONS: dict[Event, frozenset[Phase]] = {
    Event.PROPOSED: frozenset({Phase.OBSERVING}),
    Event.PROMOTED: frozenset({Phase.CANDIDATE}),
    Event.REJECTED: frozenset({Phase.CANDIDATE}),
    Event.ROLLED_BACK: _ANY,
    Event.RESTED: frozenset({Phase.ROLLED_BACK}),
    Event.FROZEN: _ANY - {Phase.ALARM},
    Event.UNFROZEN: frozenset({Phase.FROZEN, Phase.ALARM}),
    Event.ALARM: _ANY,
}
"""The phases in which each event may happen."""


@dataclass(frozen=True, slots=True)
class Site:
    """A site and where it stands.

    ``state``: id of the state in force, or ``source``. ``base``: SHA-256 of the model card its states belong to, empty
    before there was any. ``candidate``: id of the state that waits for a verdict. ``decisions``: how many were ever
    recorded; until they reach ``cool_down_until`` nothing is learnt. ``rejections``: candidates rejected in a row.
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


def why_not_learn(site: Site) -> str | None:
    """Why the site's shadow may not learn now; None if it may."""
    if site.policy is Policy.OFF:
        return "adaptation is off"
    if site.frozen:
        return "frozen"
    if site.phase is Phase.CANDIDATE:
        return "a candidate waits for approval"
    if site.decisions < site.cool_down_until:
        return f"cooling down for {site.cool_down_until - site.decisions} more decisions"
    if site.phase is not Phase.OBSERVING:
        return site.phase.value
    return None


def propose(site: Site, candidate: str) -> Site:
    """A candidate waits for its verdict."""
    _check(site, Event.PROPOSED)
    reason = why_not_learn(site)
    if reason is not None:
        raise NotAllowedError(f"site {site.name}: expected a site that learns, got one that does not: {reason}")
    return replace(site, phase=Phase.CANDIDATE, candidate=candidate)


def promote(site: Site, candidate: str) -> Site:
    """The candidate is in force: one of the two transitions that change serving weights."""
    _check(site, Event.PROMOTED)
    _check_candidate(site, candidate)
    if site.frozen or site.policy not in (Policy.APPROVE, Policy.AUTO):
        what = "frozen" if site.frozen else f"policy {site.policy}"
        raise NotAllowedError(f"site {site.name}: expected a site that takes candidates, got one that is {what}")
    return replace(site, phase=Phase.OBSERVING, state=candidate, candidate=None, rejections=0)


def reject(site: Site, candidate: str, bounds: Bounds, *, counts: bool = True) -> Site:
    """The candidate is dropped; the last of ``bounds.rejections`` in a row begins a cool-down.

    With ``counts`` False it is nobody's fault (a site that only observes).
    """
    _check(site, Event.REJECTED)
    _check_candidate(site, candidate)
    in_a_row = site.rejections + counts
    left = replace(site, phase=Phase.OBSERVING, candidate=None, rejections=in_a_row)
    if in_a_row < bounds.rejections:
        return left
    return replace(left, rejections=0, cool_down_until=site.decisions + bounds.cool_down)


def roll_back(site: Site, to: str, bounds: Bounds) -> Site:
    """An earlier state, or the source, is in force again; learning rests. A waiting candidate is dropped.

    The other transition that changes serving weights. Allowed in every phase: it is the way back to safety. A site
    that is frozen stays frozen.
    """
    _check(site, Event.ROLLED_BACK)
    if to == site.state:
        raise NotAllowedError(f"site {site.name}: expected another state than the one in force, got {to}")
    phase = site.phase if site.frozen else Phase.ROLLED_BACK
    rest = site.decisions + bounds.cool_down
    changed = replace(site, phase=phase, state=to, candidate=None, cool_down_until=rest)
    return replace(changed, generation=site.generation + 1)


def rest_over(site: Site) -> Site:
    """The cool-down after a rollback has passed."""
    _check(site, Event.RESTED)
    if site.decisions < site.cool_down_until:
        raise NotAllowedError(f"site {site.name}: {why_not_learn(site)}")
    return replace(site, phase=Phase.OBSERVING)


def freeze(site: Site, by: str) -> Site:
    """Nothing is learnt or promoted until `unfreeze`. The state in force goes on serving; a candidate may wait."""
    _check(site, Event.FROZEN)
    return replace(site, phase=Phase.FROZEN, frozen=True, frozen_by=by)


def unfreeze(site: Site) -> Site:
    """Back to where freezing or an alarm found the site; a cool-down goes on."""
    _check(site, Event.UNFROZEN)
    phase = Phase.OBSERVING if site.candidate is None else Phase.CANDIDATE
    return replace(site, phase=phase, frozen=False, frozen_by=None)


def alarm(site: Site, by: str) -> Site:
    """Something is wrong that a person must look at: frozen until they unfreeze it."""
    _check(site, Event.ALARM)
    return replace(site, phase=Phase.ALARM, frozen=True, frozen_by=by)


def too_many_rollbacks(times: Sequence[datetime], now: datetime, bounds: Bounds) -> bool:
    """Whether more rollbacks than allowed lie within the last day: an attacker may be working the switch."""
    return sum(now - time < timedelta(days=1) for time in times) > bounds.rollbacks_per_day


def _check(site: Site, event: Event) -> None:
    if site.phase not in TRANSITIONS[event]:
        phases = ", ".join(sorted(TRANSITIONS[event]))
        raise NotAllowedError(f"site {site.name}: '{event}' is for sites that are {phases}, got {site.phase}")


def _check_candidate(site: Site, candidate: str) -> None:
    if site.candidate != candidate:
        raise NotAllowedError(f"site {site.name}: expected candidate {site.candidate}, got {candidate[:80]}")
