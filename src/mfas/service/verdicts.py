"""What becomes of a candidate: plain functions over what a canary showed before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite

from pydantic import Field

from mfas.config import Config

_FUZZ = 1e-9
"""Fractions are compared with this slack, so that exactly one point is not more than one point."""


class Bounds(Config):
    """How far a candidate may go, and how often it may fail. Rates are fractions: 0.01 is one point.

    ``spoof_rise``: the largest rise of any canary attack's score that needs no approval; scores go out with three
    digits. ``flips``: share of canary captures whose decision may change. ``radius``: the drift may not reach it; an
    outer bound, since methods project on their own. ``highest_bpcer``: a canary above it raises the alarm, whatever it
    was before. ``cool_down`` counts decisions.
    """

    species: float = Field(0.01, ge=0, le=1)
    bpcer: float = Field(0.01, ge=0, le=1)
    radius: float = Field(0.2, gt=0)
    flips: float = Field(0.02, ge=0, le=1)
    spoof_rise: float = Field(0.001, ge=0, le=1)
    highest_bpcer: float | None = Field(None, ge=0, le=1)
    rejections: int = Field(3, ge=1)
    cool_down: int = Field(1000, ge=0)
    rollbacks_per_day: int = Field(3, ge=0)


@dataclass(frozen=True, slots=True)
class CanaryFigures:
    """One model on one canary: fractions of captures at the source thresholds; ``apcer`` by species."""

    bona_fide: int
    attacks: int
    bpcer: float
    apcer: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class CanaryChange:
    """A canary before and after: the state in force, and the candidate.

    ``canary`` is ``source`` or ``site``. ``flips``: share of captures that were decided otherwise. ``spoof_rise``: the
    largest rise of an attack's score. Both are NaN when a score is not finite.
    """

    canary: str
    digest: str
    before: CanaryFigures
    after: CanaryFigures
    flips: float
    spoof_rise: float


class Outcome(StrEnum):
    """What becomes of a candidate."""

    PROMOTE = "promote"
    WAIT = "wait"
    REJECT = "reject"
    ALARM = "alarm"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome and its reasons, plain words each."""

    outcome: Outcome
    reasons: tuple[str, ...] = ()


def judge(changes: Sequence[CanaryChange], drift: float, bounds: Bounds, *, automatic: bool) -> Verdict:
    """Promote, wait for a person, reject, or raise the alarm.

    ``automatic``: the site's policy lets candidates within the bounds be promoted. Even then a person must approve one
    that raises the score of a canary attack (only labelled evidence can excuse that), and any where there is no canary.
    """
    wrong = faults(changes, drift, bounds)
    if wrong:
        return Verdict(Outcome.ALARM, wrong)
    worse = beyond(changes, drift, bounds)
    if worse:
        return Verdict(Outcome.REJECT, worse)
    asked = needs_approval(changes, bounds)
    if not automatic:
        return Verdict(Outcome.WAIT, ("the policy asks for approval", *asked))
    return Verdict(Outcome.WAIT, asked) if asked else Verdict(Outcome.PROMOTE, ("within the bounds of the canary",))


def faults(changes: Sequence[CanaryChange], drift: float, bounds: Bounds) -> tuple[str, ...]:
    """What must never happen: numbers that are not finite, a BPCER beyond any excuse."""
    found = [] if isfinite(drift) else ["the drift is not finite"]
    for change in changes:
        if not (isfinite(change.flips) and isfinite(change.spoof_rise)):
            found.append(f"a score on the {change.canary} canary is not finite")
        if bounds.highest_bpcer is not None and change.after.bpcer > bounds.highest_bpcer + _FUZZ:
            found.append(f"BPCER on the {change.canary} canary is {change.after.bpcer:.3f}")
    return tuple(found)


def beyond(changes: Sequence[CanaryChange], drift: float, bounds: Bounds) -> tuple[str, ...]:
    """In what the candidate is worse than it may be."""
    found = [] if drift < bounds.radius else [f"the drift of {drift:.4f} reaches the radius of {bounds.radius}"]
    for change in changes:
        before, after, name = change.before, change.after, change.canary
        if after.bpcer > before.bpcer + bounds.bpcer + _FUZZ:
            found.append(f"BPCER on the {name} canary goes from {before.bpcer:.3f} to {after.bpcer:.3f}")
        for species, rate in sorted(after.apcer.items()):
            if rate > before.apcer[species] + bounds.species + _FUZZ:
                was = before.apcer[species]
                found.append(f"APCER of {species} on the {name} canary goes from {was:.3f} to {rate:.3f}")
        if change.flips >= bounds.flips:
            found.append(f"{change.flips:.1%} of the {name} canary are decided otherwise")
    return tuple(found)


def needs_approval(changes: Sequence[CanaryChange], bounds: Bounds) -> tuple[str, ...]:
    """Why a person must approve a candidate that is within the bounds."""
    if not changes:
        return ("there is no canary",)
    return tuple(
        f"the score of an attack of the {change.canary} canary rises by {change.spoof_rise:.4f}"
        for change in changes
        if change.spoof_rise > bounds.spoof_rise
    )
