"""Who is signed in, and whether a form came from one of our own pages: signed values, nothing kept on the server."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from itsdangerous import BadSignature, TimestampSigner

from mfas.service.signing import Secret

SESSION_COOKIE = "mfas_session"
VISIT_COOKIE = "mfas_visit"
SESSION_SECONDS = 8 * 3600
"""How long a sign-in lasts."""


class Sessions:
    """Cookies that hold the id of a key and the time of the sign-in, and tokens that tie a form to its cookie."""

    def __init__(self, secret: Secret) -> None:
        key = secret.derived("mfas console session")
        self._signer = TimestampSigner(key, salt="mfas console", digest_method=hashlib.sha256)
        self._forms = secret.derived("mfas console form")

    def cookie(self, key_id: str) -> str:
        """The cookie of who signed in with this key just now."""
        return self._signer.sign(key_id).decode("ascii")

    def key_id(self, cookie: str) -> str | None:
        """The key of a cookie; None when we did not make it, or too long ago."""
        try:
            return self._signer.unsign(cookie, max_age=SESSION_SECONDS).decode("ascii")
        except BadSignature:
            return None

    @staticmethod
    def visit() -> str:
        """A cookie for somebody who is not signed in, so that the form to sign in is tied to something."""
        return secrets.token_urlsafe(16)

    def token(self, cookie: str) -> str:
        """What forms of pages that were made for this cookie hold."""
        return hmac.new(self._forms, cookie.encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def ours(self, token: str, cookie: str) -> bool:
        """Whether `token` gave this token, in constant time."""
        return hmac.compare_digest(self.token(cookie).encode(), token.encode("utf-8", "replace"))
