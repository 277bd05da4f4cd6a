"""API keys: 256 random bits shown once, kept as SHA-256, with scopes and, if wanted, bound to one site."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from mfas.errors import ConfigError

PREFIX = "mfas_"


class Scope(StrEnum):
    """What a key may do: score captures; operate sites (approve, roll back, freeze); administer keys and sites."""

    SCORE = "score"
    OPERATE = "operate"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Key:
    """A key as the store knows it; the key itself is nowhere. ``site`` None = every site."""

    id: str
    name: str
    scopes: frozenset[Scope]
    site: str | None
    created: datetime
    revoked: datetime | None = None

    def may(self, scope: Scope, site: str | None = None) -> bool:
        """Whether the key has ``scope`` (``admin`` has all) and is not bound to another site than ``site``."""
        held = scope in self.scopes or Scope.ADMIN in self.scopes
        return held and self.revoked is None and self.site in (None, site)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe mapping for those who administer keys."""
        return {
            "id": self.id,
            "name": self.name,
            "scopes": sorted(self.scopes),
            "site": self.site,
            "created": self.created.isoformat(),
            "revoked": None if self.revoked is None else self.revoked.isoformat(),
        }


def parse_scopes(names: Sequence[str]) -> frozenset[Scope]:
    """Scopes by name; `ConfigError` lists what there is."""
    known = {scope.value: scope for scope in Scope}
    for name in names:
        if name not in known:
            raise ConfigError(f"expected scopes out of {', '.join(known)}, got '{name}'")
    return frozenset(known[name] for name in names)


def generate() -> str:
    """A new key, as its holder presents it: ``mfas_`` and 43 characters that carry 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(presented: str) -> str:
    """SHA-256 of a presented key. Plain hashing is enough: 256 random bits cannot be guessed from it."""
    return hashlib.sha256(presented.encode("utf-8", "surrogatepass")).hexdigest()
