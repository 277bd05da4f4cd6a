"""What the service must not forget: `Store` on SQLite or PostgreSQL, and the records it takes and gives."""

from mfas.service.states import SOURCE, Phase, Policy
from mfas.service.store.errors import NonceSeenError, NotAllowedError, StoreError, UnknownSiteError
from mfas.service.store.store import Store
from mfas.service.store.types import LedgerRow, Receipt, Site, StoredDecision

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
