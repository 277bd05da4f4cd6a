"""Keys in the store: only their hashes."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from mfas.service.keys import Key, Scope, digest, generate
from mfas.service.store.base import Part
from mfas.service.store.chain import Entry, append
from mfas.service.store.errors import StoreError
from mfas.service.store.schema import keys
from mfas.service.store.sites import read_site


class Keyring(Part):
    """What the store knows of keys."""

    def add_key(
        self, name: str, scopes: Iterable[Scope], site: str | None = None, by: str = "system"
    ) -> tuple[Key, str]:
        """Make a key; gives its record and the key itself, which nothing can show again.

        Raises `StoreError` without a name or a scope, `UnknownSiteError` for a site that is not there.
        """
        chosen = frozenset(scopes)
        if not chosen:
            raise StoreError("expected at least one scope out of score, operate, admin, got none")
        if not 1 <= len(name) <= 200:
            raise StoreError(f"expected a name of 1 to 200 characters, got {len(name)}")
        presented, now = generate(), self.clock()
        key = Key(secrets.token_hex(8), name, chosen, site, now)
        with self.database.write() as connection:
            if site is not None:
                read_site(connection, site)
            listed = ",".join(scope for scope in Scope if scope in chosen)
            values = {"id": key.id, "name": name, "scopes": listed, "site": site, "created": now, "revoked": None}
            connection.execute(sa.insert(keys).values(digest=digest(presented), **values))
            append(connection, now, [Entry("key_added", site, {"key": key.id, "scopes": listed, "by": by})])
        return key, presented

    def find_key(self, presented: str) -> Key | None:
        """The key that was presented, unless it is unknown or revoked.

        Found by its hash, which tells a guesser nothing of the key; hashes are compared in constant time.
        """
        wanted = digest(presented)
        with self.database.read() as connection:
            row = connection.execute(sa.select(keys).where(keys.c.digest == wanted)).mappings().first()
        if row is None or not hmac.compare_digest(str(row["digest"]), wanted) or row["revoked"] is not None:
            return None
        return _key(row)

    def keys(self) -> tuple[Key, ...]:
        """All keys, revoked ones too, oldest first."""
        with self.database.read() as connection:
            rows = connection.execute(sa.select(keys).order_by(keys.c.created, keys.c.id)).mappings().all()
        return tuple(_key(row) for row in rows)

    def revoke_key(self, key_id: str, by: str = "system") -> Key:
        """From now on the key is refused; `StoreError` when there is no such key that is valid."""
        now = self.clock()
        with self.database.write() as connection:
            valid = sa.and_(keys.c.id == key_id, keys.c.revoked.is_(None))
            if connection.execute(sa.update(keys).where(valid).values(revoked=now)).rowcount != 1:
                raise StoreError(f"expected the id of a valid key, got {key_id[:80]!r}")
            row = connection.execute(sa.select(keys).where(keys.c.id == key_id)).mappings().one()
            append(connection, now, [Entry("key_revoked", row["site"], {"key": key_id, "by": by})])
        return _key(row)


def _key(row: Mapping[Any, Any]) -> Key:
    scopes = frozenset(Scope(text) for text in row["scopes"].split(","))
    return Key(row["id"], row["name"], scopes, row["site"], row["created"], row["revoked"])
