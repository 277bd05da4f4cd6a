"""What the pages show, read from the store at one go each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mfas.service.console.rendering import SHORT
from mfas.service.console.timeline import Chart, chart
from mfas.service.states import SOURCE, Event, Site, why_not_learn
from mfas.service.store import Store, StoredDecision
from mfas.service.store.glances import LastTimes
from mfas.service.store.types import LedgerRow, State, Step
from mfas.service.verdicts import CanaryChange

SHOWN_STEPS, SHOWN_EVENTS, SHOWN_STATES, SHOWN_DECISIONS = 200, 50, 20, 15
ALARMS = ("alarm", "probing_alarm")
EVENTS = (*(event.value for event in Event), "probing_alarm", "policy_set", "site_added", "base_adopted")
_WORDS = {
    "proposed": "candidate made",
    "promoted": "put in force",
    "rested": "cool-down over",
    "probing_alarm": "alarm: looks like probing",
    "policy_set": "policy set",
    "site_added": "site made",
    "base_adopted": "source model adopted",
}
_RATES, _ALARMS = timedelta(hours=24), timedelta(days=7)
_MANY_ALARMS = 100


@dataclass(frozen=True, slots=True)
class Share:
    """How many decisions of one kind in the last 24 hours: of all, a fraction, which begins at ``start``."""

    kind: str
    count: int
    fraction: float
    start: float


@dataclass(frozen=True, slots=True)
class Glance:
    """A site on the first page. ``resting``: why it does not learn, None if it does."""

    site: Site
    shares: tuple[Share, ...]
    recent: int
    times: LastTimes
    alarms: int
    resting: str | None


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that happened to a site: what, by whom, why, and to which state."""

    seq: int
    time: datetime
    what: str
    by: str
    reason: str
    about: str


@dataclass(frozen=True, slots=True)
class Lesson:
    """A step of the shadow, with its time."""

    seq: int
    time: datetime | None
    step: Step


@dataclass(frozen=True, slots=True)
class Detail:
    """A site on its own page."""

    glance: Glance
    chart: Chart | None
    lessons: tuple[Lesson, ...]
    states: tuple[tuple[State, tuple[CanaryChange, ...]], ...]
    candidate: tuple[State, tuple[CanaryChange, ...]] | None
    events: tuple[Happened, ...]
    decisions: tuple[StoredDecision, ...]


def glance(store: Store, site: Site) -> Glance:
    """Figures of the last 24 hours, alarms of the last seven days (100 at most are counted)."""
    now = store.clock()
    counts = store.outcomes(site.name, now - _RATES)
    total = sum(counts.values())
    shares, start = [], 0.0
    for kind in ("bona_fide", "attack", "no_face", "cannot_judge"):
        fraction = counts[kind] / total if total else 0.0
        shares.append(Share(kind, counts[kind], fraction, start))
        start += fraction
    alarms = store.latest(site.name, ALARMS, since=now - _ALARMS, limit=_MANY_ALARMS)
    thrown = store.switch.thrown()
    resting = why_not_learn(site) if thrown is None else f"frozen by {thrown}"
    return Glance(site, tuple(shares), total, store.last_times(site.name), len(alarms), resting)


def detail(store: Store, site: Site) -> Detail:
    """Everything the site's page shows."""
    steps = store.steps(site.name, limit=SHOWN_STEPS)
    times = store.step_times(site.name, steps[-1][0]) if steps else {}
    rows = store.latest(site.name, EVENTS, limit=SHOWN_EVENTS)
    names = key_names(store)
    states = [(state, store.canary_changes(state.id)) for state in store.states(site.name, limit=SHOWN_STATES)]
    return Detail(
        glance=glance(store, site),
        chart=chart(steps[::-1], [(row.seq, row.kind) for row in reversed(rows)]),
        lessons=tuple(Lesson(seq, times.get(seq), step) for seq, step in steps),
        states=tuple(states),
        candidate=next(((s, changes) for s, changes in states if s.id == site.candidate), None),
        events=tuple(_happened(row, names) for row in rows),
        decisions=tuple(found for _, found in store.decisions(site.name, limit=SHOWN_DECISIONS)),
    )


def lineage(store: Store, site: Site) -> tuple[str, ...]:
    """What may be in force again, nearest first: the states that led to the one in force, and the source."""
    found: list[str] = []
    current = site.state
    while current != SOURCE:
        current = store.state(current).parent
        found.append(current)
    return tuple(found)


def key_names(store: Store) -> dict[str, str]:
    """Names of keys by what the ledger calls their holders."""
    known = store.keys()
    return {f"key {key.id}": key.name for key in known}


def called(by: str, names: Mapping[str, str]) -> str:
    """``key ID`` with the key's name."""
    return f"{names[by]} ({by})" if by in names else by


def _happened(row: LedgerRow, names: Mapping[str, str]) -> Happened:
    facts = row.payload
    by = called(str(facts.get("by", "mfas")), names)
    what = _WORDS.get(row.kind, row.kind.replace("_", " "))
    return Happened(row.seq, row.time, what, by, str(facts.get("reason") or ""), _about(row.kind, facts))


def _about(kind: str, facts: Mapping[str, Any]) -> str:
    """What else a row says, in few words."""
    match kind:
        case "proposed":
            state = facts["state"]
            return f"state {state['id'][:SHORT]}, {state['updates']} updates, drift {state['drift']:.4f}"
        case "promoted" | "rolled_back":
            return f"from {facts['from'][:SHORT]} to {facts['to'][:SHORT]}"
        case "rejected":
            return f"state {facts['state'][:SHORT]}, {facts['status']}"
        case "policy_set" | "site_added":
            return f"policy {facts['policy']}"
        case "probing_alarm":
            return f"request {facts['request_id']}"
        case "base_adopted":
            return f"model {facts['to'][:SHORT]}"
    return ""
