"""The service's secret: signs states, and turns pseudonyms into keyed hashes.

HMAC-SHA256 with keys derived from one secret of 32 bytes, so that who can write to the database can neither pass off a
state as ours nor find out whose a subject hash is.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from mfas.errors import ConfigError

SECRET_ENV = "MFAS_SECRET"
SECRET_FILE_ENV = "MFAS_SECRET_FILE"
_BYTES = 32

Identity = Literal["subject", "device", "session", "nonce"]


class Secret:
    """32 random bytes that never leave the process."""

    def __init__(self, raw: bytes) -> None:
        if len(raw) != _BYTES:
            raise ConfigError(f"expected a secret of {_BYTES} bytes, got {len(raw)}")
        self._raw = raw

    def __repr__(self) -> str:
        return "Secret()"

    def derived(self, purpose: str) -> bytes:
        """A key of 32 bytes for one purpose; it tells nothing of the secret, nor of the keys of other purposes."""
        return hmac.digest(self._raw, purpose.encode(), hashlib.sha256)

    def _mac(self, purpose: str, *parts: str) -> str:
        key = self.derived(purpose)
        message = b"".join(len(raw).to_bytes(8, "big") + raw for raw in (part.encode() for part in parts))
        return hmac.new(key, message, hashlib.sha256).hexdigest()

    def pseudonym(self, site: str, kind: Identity, value: str) -> str:
        """Keyed hash of a subject, device, session or nonce at ``site``: equal there, unrelated elsewhere."""
        return self._mac(f"mfas pseudonym {kind}", site, value)

    def sign(self, state: str, site: str, base: str, parent: str) -> str:
        """Signature of a state: its hash, and what it belongs to."""
        return self._mac("mfas state", state, site, base, parent)

    def signed(self, signature: str, state: str, site: str, base: str, parent: str) -> bool:
        """Whether `sign` gave this signature, in constant time."""
        return hmac.compare_digest(self.sign(state, site, base, parent).encode(), signature.encode())

    def fingerprint(self) -> str:
        """A hash that tells two secrets apart and says nothing else."""
        return self._mac("mfas fingerprint")


def load_secret(file: Path, environment: Mapping[str, str] = os.environ, *, create: bool = True) -> Secret:
    """The secret in ``MFAS_SECRET`` (64 hex digits), in the file ``MFAS_SECRET_FILE``, or in ``file``.

    ``file`` is made, readable by its owner only, when it is not there and ``create`` is set. Raises `ConfigError` for
    something else than 64 hex digits, and for a file that others can read.
    """
    given = environment.get(SECRET_ENV)
    if given is not None:
        return _parse(given, SECRET_ENV)
    named = environment.get(SECRET_FILE_ENV)
    path = Path(named) if named is not None else file
    if named is None and create:
        _create(path)
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigError(f"expected {path} to be readable by its owner only: chmod 600")
        return _parse(path.read_text("ascii", "replace"), str(path))
    except OSError as reason:
        raise ConfigError(f"expected a file with the service's secret at {path} ({reason.strerror})") from None


def _create(path: Path) -> None:
    """Written whole beside its place, then linked there: of two processes that start at once, one wins for both."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as handle:
            handle.write(secrets.token_hex(_BYTES) + "\n")
            handle.flush()
            os.fsync(handle.fileno())
        try:
            os.link(beside, path)
        except FileExistsError:
            return
    except OSError as reason:
        raise ConfigError(f"expected to make the service's secret at {path} ({reason.strerror})") from None
    finally:
        beside.unlink(missing_ok=True)


def _parse(text: str, origin: str) -> Secret:
    digits = text.strip()
    if len(digits) != 2 * _BYTES or not all(c in "0123456789abcdefABCDEF" for c in digits):
        raise ConfigError(f"expected {2 * _BYTES} hex digits in {origin}, got something else")
    return Secret(bytes.fromhex(digits))
