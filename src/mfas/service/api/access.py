"""Who asks, and whether they may: keys, scopes, sites, and the loopback without keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Path, Request
from fastapi.security import HTTPBearer

from mfas.service.api.errors import ApiError
from mfas.service.keys import Key, Scope
from mfas.service.running import Service
from mfas.service.settings import is_loopback
from mfas.service.store import Site
from mfas.service.store.types import SITE_NAME

bearer = HTTPBearer(auto_error=False, description="A key that `mfas keys add` made.", bearerFormat="mfas_...")
SiteName = Annotated[str, Path(pattern=f"^{SITE_NAME.pattern}$", description="Name of the site.")]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a key, or None for an anonymous caller on the loopback. ``name`` is what the ledger calls them."""

    key: Key | None

    @property
    def name(self) -> str:
        """For rows that say who did something."""
        return "anonymous" if self.key is None else f"key {self.key.id}"


def service_of(request: Request) -> Service:
    """The service the application was made for."""
    found = request.app.state.service
    assert isinstance(found, Service)
    return found


Running = Annotated[Service, Depends(service_of)]


def caller_with(scope: Scope) -> Callable[..., Awaitable[Caller]]:
    """A dependency: the caller, if their key has ``scope`` and is not bound to another site than the one in the path.

    One request of the key's rate is used up. Without any key in the store, callers of this machine may score.
    """

    async def caller(request: Request, service: Running, _: Annotated[object, Depends(bearer)]) -> Caller:
        presented = _presented(request)
        site = request.path_params.get("site")
        if presented is None:
            found = await _anonymous(request, service, scope)
        else:
            key = await service.in_thread(lambda: service.store.find_key(presented))
            if key is None:
                service.rate.take(f"refused {request.client.host if request.client else '-'}")
                raise ApiError(401)
            service.rate.take(key.id)
            if not key.may(scope, site if site is not None else key.site):
                raise ApiError(403, message=f"the key has no scope '{scope.value}' here")
            found = Caller(key)
        return found

    return caller


async def operator_unless(request: Request, service: Service) -> None:
    """For figures of all sites: a key with ``operate`` for all sites, unless they are open or no key was ever made."""
    own = service.config.loopback and _same_machine(request)
    if service.config.open_metrics or (own and not await service.in_thread(service.has_keys)):
        return
    presented = _presented(request)
    key = None if presented is None else await service.in_thread(lambda: service.store.find_key(presented))
    if key is None:
        raise ApiError(401)
    if not key.may(Scope.OPERATE):
        raise ApiError(403, message=f"the key has no scope '{Scope.OPERATE.value}' for all sites")


async def _anonymous(request: Request, service: Service, scope: Scope) -> Caller:
    if scope is not Scope.SCORE or not service.config.loopback:
        raise ApiError(401)
    if await service.in_thread(service.has_keys):
        raise ApiError(401)
    if not _same_machine(request):
        raise ApiError(403, message="without keys only programs of this machine may score, not pages of other sites")
    service.rate.take("anonymous")
    return Caller(None)


def _presented(request: Request) -> str | None:
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" and value.strip() else None


def _same_machine(request: Request) -> bool:
    """Not a web page elsewhere that makes a visitor's browser ask: host and origin both name this machine."""
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    origin = request.headers.get("origin")
    asked_by = is_loopback(urlsplit(origin).hostname or "") if origin is not None else True
    return is_loopback(host) and asked_by


async def _site(site: SiteName, request: Request, service: Running) -> Site:
    found = await service.in_thread(lambda: service.store.site(site))
    request.state.site = found.name
    return found


async def _json(request: Request) -> None:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ApiError(415, message="expected a body of content type application/json")


KnownSite = Annotated[Site, Depends(_site)]
ScoreCaller = Annotated[Caller, Depends(caller_with(Scope.SCORE))]
OperateCaller = Annotated[Caller, Depends(caller_with(Scope.OPERATE))]
AdminCaller = Annotated[Caller, Depends(caller_with(Scope.ADMIN))]
JsonBody = Annotated[None, Depends(_json)]
"""Stands after the caller in a route's parameters: who may not ask is told that first."""
