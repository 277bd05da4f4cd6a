"""`mfas serve`: what must be in order before it starts, and a stop that leaves nobody without an answer."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from types import FrameType
from typing import Any
from uuid import uuid4

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from mfas.errors import ConfigError
from mfas.service.api.app import create_app
from mfas.service.api.errors import ApiError, response_of
from mfas.service.api.gate import Closing
from mfas.service.keys import Scope
from mfas.service.running import Service
from mfas.service.settings import ServeConfig
from mfas.service.signing import load_secret
from mfas.service.states import FIRST_SITE
from mfas.service.store import Store

log = logging.getLogger("mfas.service")
_HEADER_BYTES = 16_384
_KEEP_ALIVE_SECONDS = 20
"""Longer than clients keep an idle connection (httpx: 5 s), so that they are the first to close it.

With equal times a request may go out on a connection that is being closed, and get no answer.
"""
_HEADER_SECONDS = 10
_BACKLOG = 256


def build(config: ServeConfig) -> Service:
    """Open the database, bring its tables up to date, load the model; a new database gets a site named ``default``.

    Raises `ConfigError` when others could reach a service that has no key to tell them apart by, and what a database,
    a secret or a model directory that cannot be used raises.
    """
    store = Store(config.database, bounds=config.bounds)
    store.migrate()
    known = store.keys()
    valid = [key for key in known if key.revoked is None]
    if not valid and not config.loopback:
        store.close()
        raise ConfigError(
            f"expected an API key before listening on {config.host}, which others can reach, got none; "
            "make one with mfas keys add, or listen on 127.0.0.1"
        )
    secret = load_secret(config.secret_file or store.database.secret_file)
    store.bind(secret)
    if not store.sites():
        store.add_site(FIRST_SITE)
    if not known:
        log.warning("no key was ever made: callers of this machine may score without one")
    elif not any(key.may(Scope.SCORE, key.site) for key in valid):
        log.warning("no valid key may score")
    return Service(config, store, secret)


def serve(config: ServeConfig) -> None:
    """Serve until SIGTERM or SIGINT. Requests in flight are finished or told 503; new ones are told 503."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    listener = _listen(config)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    before = signal.signal(signal.SIGTERM, _leave)  # uvicorn hands the signal on once it has stopped
    try:
        with listener:
            service = build(config)
            server = Server(service)
            host, port = listener.getsockname()[:2]
            log.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
            server.run(sockets=[listener])
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise SystemExit(0)


def _listen(config: ServeConfig) -> socket.socket:
    """Bound before anything is loaded, so that a port in use is told at once."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, proto)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as reason:
        raise ConfigError(
            f"expected to listen on {config.host}, port {config.port}, cannot ({reason.strerror})"
        ) from None
    return listener


class Server(uvicorn.Server):
    """uvicorn, with the limits of the service; tells the gate as soon as it is to stop."""

    def __init__(self, service: Service) -> None:
        limits = service.config.limits
        self._closing = Closing()
        super().__init__(
            uvicorn.Config(
                create_app(service, self._closing),
                http=_Protocol,
                ws="none",
                loop="asyncio",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=_BACKLOG,
                limit_concurrency=2 * limits.concurrent_requests,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=int(limits.upload_seconds + limits.deadline_seconds) + 5,
                h11_max_incomplete_event_size=_HEADER_BYTES,
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal to stop."""
        self._closing.now = True
        super().handle_exit(sig, frame)


class _Protocol(H11Protocol):
    """What is not HTTP is answered in the shape of all errors; a connection that says nothing is closed."""

    _silence: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # uvicorn would answer in plain text
        self._most, self.limit_concurrency = self.limit_concurrency, None
        self._open = self.app

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._listen(_HEADER_SECONDS)

    def data_received(self, data: bytes) -> None:
        full = self._most is not None and max(len(self.connections), len(self.tasks)) > self._most
        self.app = _full if full else self._open
        super().data_received(data)
        if self._silence is not None and self._busy():
            self._silence.cancel()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._listen(_KEEP_ALIVE_SECONDS + _HEADER_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._silence is not None:
            self._silence.cancel()
        super().connection_lost(exc)

    def _listen(self, seconds: float) -> None:
        """Whole headers must be there within ``seconds``, however slowly they trickle in."""
        if self._silence is not None:
            self._silence.cancel()
        self._silence = self.loop.call_later(seconds, self._end_silence)

    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _end_silence(self) -> None:
        if not self._busy():
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Bytes that are no HTTP request."""
        del msg
        body = response_of(ApiError(400), uuid4().hex)
        headers = [*body.raw_headers, (b"connection", b"close")]
        response = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
        for event in (response, h11.Data(data=bytes(body.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


async def _full(scope: Any, receive: Any, send: Any) -> None:
    """More connections than the service can look after."""
    error = ApiError(503, "too_many_connections", "expected fewer connections at one time", 1)
    await response_of(error, uuid4().hex)(scope, receive, send)
