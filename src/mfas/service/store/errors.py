"""What the store refuses, as one tree below `InputError`."""

from __future__ import annotations

from mfas.errors import InputError


class StoreError(InputError):
    """The store was asked for something it does not hold, or given something it does not take."""


class UnknownSiteError(StoreError):
    """No site of that name."""


class NonceSeenError(StoreError):
    """A nonce that was used at this site before: the capture is replayed."""
