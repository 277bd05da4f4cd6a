"""What the parts of the store share: a database and a clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from mfas.service.store.database import Database


class Part:
    """Base of the parts `Store` is made of."""

    database: Database
    clock: Callable[[], datetime]
