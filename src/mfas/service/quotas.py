"""Who may still teach a site: quotas per identity and day, once per session, and nobody right after an attack."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import Field

from mfas.config import Config
from mfas.core import Label
from mfas.service.offers import Offer
from mfas.service.store import Store

_DAY = timedelta(days=1)
_REMEMBERED = 10_000


class QuotaConfig(Config):
    """Captures accepted for learning in any 24 hours.

    ``per_identity``: of one subject, or of one device where no subject is told. ``per_device``: of one device, all its
    subjects together. ``quiet_seconds``: how long after a capture that was judged an attack a bona fide one of the same
    identity teaches nothing (rejected and tried again).
    """

    per_identity: int = Field(2, ge=1)
    per_device: int = Field(200, ge=1)
    quiet_seconds: float = Field(600.0, ge=0)


@dataclass
class Quotas:
    """Counts what the store has of a site, so that a restart or another leader forgets nothing."""

    store: Store
    site: str
    config: QuotaConfig
    _attacks: dict[str, datetime] = field(default_factory=dict)

    def admit(self, offers: list[Offer]) -> tuple[list[Offer], Counter[str]]:
        """The offers that may be learnt from, and why the others may not, counted."""
        now = self.store.clock()
        admitted: list[Offer] = []
        refused: Counter[str] = Counter()
        for offer in offers:
            reason = self._why_not(offer, admitted, now)
            if reason is None:
                admitted.append(offer)
            else:
                refused[reason] += 1
        return admitted, refused

    def _why_not(self, offer: Offer, admitted: list[Offer], now: datetime) -> str | None:
        identity = offer.identity
        if identity is None:
            return "no subject and no device"
        if offer.decision == Label.ATTACK.value:
            self._attacks.pop(identity, None)
            self._attacks[identity] = now
            if len(self._attacks) > _REMEMBERED:
                del self._attacks[next(iter(self._attacks))]
        elif now - self._attacks.get(identity, now - _DAY) < timedelta(seconds=min(self.config.quiet_seconds, 86_400)):
            return "came after an attack"
        if offer.session is not None and (
            any(other.session == offer.session for other in admitted)
            or self.store.session_seen(self.site, offer.session)
        ):
            return "its session has taught"
        column = "subject" if offer.subject else "device"
        pending = sum(other.identity == identity for other in admitted)
        if pending + self.store.taught(self.site, column, identity, now - _DAY) >= self.config.per_identity:
            return "its identity has taught enough"
        if offer.subject and offer.device:
            pending = sum(other.device == offer.device for other in admitted)
            if pending + self.store.taught(self.site, "device", offer.device, now - _DAY) >= self.config.per_device:
                return "its device has taught enough"
        return None
