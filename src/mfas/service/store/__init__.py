"""What the service must not forget: `Store` on SQLite or PostgreSQL, and the records it takes and gives."""

from mfas.service.states import SOURCE, NotAllowedError, Phase, Policy, Site
from mfas.service.store.errors import NonceSeenError, StoreError, UnknownSiteError
from mfas.service.store.store import Store
from mfas.service.store.types import LedgerRow, Receipt, StoredDecision

__all__ = [
    "SOURCE",
    "LedgerRow",
    "NonceSeenError",
    "NotAllowedError",
    "Phase",
    "Policy",
    "Receipt",
    "Site",
    "Store",
    "StoreError",
    "StoredDecision",
    "UnknownSiteError",
]
