"""Made-up records for tests of the store, and a clock that is set by hand."""

from __future__ import annotations

import hashlib
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from mfas.service.store import SOURCE, StoredDecision
from mfas.service.store.types import NewState, Step
from mfas.service.verdicts import CanaryChange, CanaryFigures, Outcome, Verdict

_COUNT = itertools.count()
BASE = "b" * 64
PROMOTE = Verdict(Outcome.PROMOTE, ("fine",))
WAIT = Verdict(Outcome.WAIT, ("ask",))
REJECT = Verdict(Outcome.REJECT, ("worse",))


class Clock:
    """A time that stands until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **span: float) -> None:
        self.now += timedelta(**span)


def hashed(text: str) -> str:
    """What stands for a keyed hash."""
    return hashlib.sha256(text.encode()).hexdigest()


def decision(site: str = "door", **facts: Any) -> StoredDecision:
    """A decision with a request id of its own."""
    number = next(_COUNT)
    known: dict[str, Any] = {
        "request_id": f"r{number}-{facts.get('subject', '')[:8]}",
        "outcome": "scored",
        "present": "rgb,ir",
        "missing": "depth",
        "model_id": BASE,
        "decision": "bona_fide",
        "score": 0.873,
        "threshold": 0.5987818837165833,
        "modality_scores": {"rgb": 0.91, "ir": 0.8},
        "substituted": ("depth",),
    }
    return StoredDecision(site=site, **(known | facts))


def step(subject: str = "", **facts: Any) -> Step:
    """A step that taught something."""
    known: dict[str, Any] = {
        "request_id": f"s{next(_COUNT)}",
        "subject": subject or None,
        "device": None,
        "session": None,
        "accepted": True,
        "pseudo_label": "bona_fide",
        "updated": False,
        "reason": "waiting",
        "loss": None,
        "loss_weight": 0.5,
        "drift": 0.01,
        "parent": SOURCE,
    }
    return Step(**(known | facts))


def state(parent: str = SOURCE, site: str = "door", steps: tuple[int, int] = (0, 0), **facts: Any) -> NewState:
    """A candidate with bytes of its own; the signature is nobody's."""
    delta = facts.pop("delta", uuid4().bytes)
    known: dict[str, Any] = {"base": BASE, "signature": "0" * 64, "method": "mfas_danet", "updates": 8, "drift": 0.02}
    own = hashlib.sha256(delta).hexdigest()
    first, last = steps
    lineage = {"id": own, "site": site, "parent": parent, "first_step": first, "last_step": last}
    return NewState(delta=delta, **(known | lineage | facts))


def change(canary: str = "site", **facts: Any) -> CanaryChange:
    """A canary on which nothing changed, but for ``facts``."""
    figures = CanaryFigures(bona_fide=100, attacks=50, bpcer=0.02, apcer={"print_flat": 0.0, "replay_lcd": 0.04})
    known: dict[str, Any] = {"digest": "d" * 64, "before": figures, "after": figures, "flips": 0.0, "spoof_rise": 0.0}
    return CanaryChange(canary, **(known | facts))
