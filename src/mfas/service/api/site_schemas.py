"""What is told of sites, states, steps and approvals, and what operators and administrators may send."""

from __future__ import annotations

from datetime import datetime
from math import isfinite
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from mfas.service.api.schemas import Pseudonym, Reason, Strict
from mfas.service.states import SOURCE, Policy
from mfas.service.store.types import LONGEST_RETENTION_DAYS


class _Read(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class CanaryRates(_Read):
    """One model on one canary."""

    bona_fide: int
    attacks: int
    bpcer: float
    apcer: dict[str, float]


class SiteAnswer(_Read):
    """A site and where it stands with adaptation."""

    name: str
    policy: Policy
    phase: str
    frozen: bool
    frozen_by: str | None
    state: str = Field(description="Id of the state in force, or `source`.")
    candidate: str | None
    retention_days: int
    decisions: int
    cool_down_until: int
    created: datetime


class SiteSettings(Strict):
    """What an administrator sets; what is left out stays, and gets its default at a new site."""

    policy: Literal["off", "observe", "approve", "auto"] | None = None
    retention_days: int | None = Field(None, ge=1, le=LONGEST_RETENTION_DAYS)


class StateAnswer(_Read):
    """An adapted state, without its tensors."""

    id: str
    parent: str
    base: str
    status: str
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


class StepAnswer(_Read):
    """What a shadow made of one capture; for operators only."""

    seq: int
    request_id: str
    accepted: bool
    pseudo_label: str | None
    updated: bool
    reason: str | None
    loss: float | None
    loss_weight: float | None
    drift: float
    parent: str


class ApprovalAnswer(_Read):
    """What a person did to a site."""

    action: str
    state: str
    by: str
    reason: str | None
    time: datetime


class Verdict(Strict):
    """Why, in plain words; kept in the ledger."""

    reason: Reason = ""


class Rollback(Verdict):
    """Where to; null = what stood before the state in force."""

    to: str | None = Field(None, pattern=rf"^({SOURCE}|[0-9a-f]{{64}})$")


class Subject(Strict):
    """Whose decisions are to go."""

    subject: Pseudonym


class Erased(_Read):
    """What was erased, and the states that were learnt from that subject's captures among others; these stay."""

    decisions: int
    steps: int
    states: tuple[str, ...]


class CanaryAnswer(_Read):
    """A canary on the state that was in force and on the candidate; rates are fractions at the source thresholds."""

    canary: str
    digest: str
    before: CanaryRates
    after: CanaryRates
    flips: float | None
    spoof_rise: float | None

    @field_validator("flips", "spoof_rise")
    @classmethod
    def _finite(cls, value: float | None) -> float | None:
        return value if value is not None and isfinite(value) else None
