"""A site's life with adaptation, as pure values: policy, phase, events and what each may lead to.

Serving weights change in exactly two transitions: promotion and rollback. Nothing here knows a database or a network.
"""

from __future__ import annotations

from enum import StrEnum

SOURCE = "source"
"""The state in force of a site that serves the source model, and the parent of its first candidates."""


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
    """Where a site stands. ``promoted`` and ``rejected`` are left for ``observing`` in the same transaction."""

    FROZEN = "frozen"
    OBSERVING = "observing"
    CANDIDATE = "candidate"
    PROMOTED = "promoted"
    REJECTED = "rejected"
    ROLLED_BACK = "rolled_back"
    ALARM = "alarm"
