"""What every request passes through: its id, the bound on requests at one time, small bodies, headers, last resort."""

from __future__ import annotations

import logging
import time
from collections.abc import MutableMapping
from typing import Any
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mfas.service.api.errors import ApiError, as_api_error, response_of
from mfas.service.api.multipart import too_large
from mfas.service.limits import Ceiling
from mfas.service.metrics import NO_SITE, Metrics

NO_ROUTE = "-"
log = logging.getLogger("mfas.service")

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""Headers of every answer that does not set them itself."""


class Gate:
    """The outermost layer. Bodies that are not multipart may have ``json_bytes``; multipart is read by its own rules.

    After `close` every new request is told that the service is shutting down.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, places: Ceiling, json_bytes: int, closing: Closing) -> None:
        self._app, self._metrics, self._places = app, metrics, places
        self._json_bytes, self._closing = json_bytes, closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state: MutableMapping[str, Any] = scope.setdefault("state", {})
        state["request_id"], state["site"] = uuid4().hex, NO_SITE
        passage = _Passage(state["request_id"], send)
        begun = time.perf_counter()
        try:
            if self._closing.now:
                raise ApiError(503, "shutting_down", "the service is shutting down", 5)
            with self._places.one():
                await self._app(scope, self._bounded(scope, receive), passage)
        except Exception as error:  # the last resort: whatever it is, the caller gets the one shape
            known = as_api_error(error)
            state["code"] = known.code
            if known.status_code == 500:
                log.exception("request %s failed", state["request_id"])
            if not passage.status:
                await response_of(known, state["request_id"])(scope, receive, passage)
        finally:
            self._count(scope, passage.status, time.perf_counter() - begun)

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        if Headers(scope=scope).get("content-type", "").lower().startswith("multipart/form-data"):
            return receive
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._json_bytes:
                raise too_large("body", self._json_bytes)
            return message

        return counted

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route, site = getattr(scope.get("route"), "path", NO_ROUTE), scope["state"]["site"]
        self._metrics.requests.labels(route, str(status or 499), site).inc()
        self._metrics.latency.labels(route).observe(seconds)
        if status >= 400:
            self._metrics.rejections.labels(scope["state"].get("code", str(status)), site).inc()


class Closing:
    """Whether the service is on its way out."""

    now = False


class _Passage:
    """Sends on, with the headers that every answer has; remembers the status."""

    def __init__(self, request_id: str, send: Send) -> None:
        self._request_id, self._send = request_id, send
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self._request_id
            for name, value in ALWAYS.items():
                headers.setdefault(name, value)
        await self._send(message)
