"""Who looks at a page, what their key lets them see, and what becomes of errors on the way."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.responses import RedirectResponse

from mfas.service.api.access import Running, service_of
from mfas.service.api.errors import ApiError, as_api_error
from mfas.service.console.rendering import HEADERS, page
from mfas.service.console.sessions import SESSION_COOKIE, Sessions
from mfas.service.keys import Key, Scope
from mfas.service.running import Service

SIGN_IN = "/console/sign-in"
log = logging.getLogger("mfas.service")


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is signed in. ``token`` is what their forms must hold."""

    key: Key
    token: str

    @property
    def name(self) -> str:
        """What the ledger calls them."""
        return f"key {self.key.id}"

    def may(self, scope: str, site: str | None = None) -> bool:
        """Whether they have ``scope``: at ``site``, or, with None, at all sites."""
        return self.key.may(Scope(scope), site)

    def may_somewhere(self, scope: str) -> bool:
        """Whether they have ``scope`` at any site."""
        return self.key.may(Scope(scope), self.key.site)

    def check(self, token: str) -> None:
        """`ApiError` 403 unless a form that holds ``token`` came from a page that was made for them."""
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode()):
            raise ApiError(403, "form_expired", "expected a form of this sign-in, got another; load the page again")


class NotSignedInError(Exception):
    """Nobody is signed in, or no longer."""


def sessions_of(service: Service) -> Sessions:
    """Cookies and tokens under the service's secret."""
    return Sessions(service.secret)


def visitor_with(scope: Scope | None = None) -> Callable[..., Awaitable[Visitor]]:
    """A dependency: who is signed in, if their key has ``scope`` at the site in the path; None = any key.

    Where the path names no site, a key that is bound to one may come as well. Uses up one request of the key's rate.
    """

    async def visitor(request: Request, service: Running) -> Visitor:
        found = await signed_in(request, service)
        if found is None:
            raise NotSignedInError
        service.rate.take(found.key.id)
        site = request.path_params.get("site", found.key.site)
        if scope is not None and not found.key.may(scope, site):
            raise ApiError(403, message=f"the key has no scope '{scope.value}' here")
        return found

    return visitor


async def signed_in(request: Request, service: Service) -> Visitor | None:
    """Who is signed in: asked of the store each time, so that a key that is revoked is signed out at once."""
    cookie, sessions = request.cookies.get(SESSION_COOKIE, ""), sessions_of(service)
    key_id = sessions.key_id(cookie)
    if key_id is None:
        return None
    known = await service.in_thread(service.store.keys)
    key = next((key for key in known if key.id == key_id and key.revoked is None), None)
    return None if key is None else Visitor(key, sessions.token(cookie))


AnyVisitor = Annotated[Visitor, Depends(visitor_with())]
ScoreVisitor = Annotated[Visitor, Depends(visitor_with(Scope.SCORE))]
OperateVisitor = Annotated[Visitor, Depends(visitor_with(Scope.OPERATE))]
AdminVisitor = Annotated[Visitor, Depends(visitor_with(Scope.ADMIN))]


class PageRoute(APIRoute):
    """A route whose errors are pages. A form that another site's page sent is refused before anything is read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See `fastapi.routing.APIRoute`."""
        answer = super().get_route_handler()

        async def shown(request: Request) -> Response:
            try:
                if request.method == "POST" and request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
                    raise ApiError(403, message="expected a form of this console, got one of another page")
                return await answer(request)
            except NotSignedInError:
                if request.method == "GET":
                    return RedirectResponse(f"{SIGN_IN}?next={quote(request.url.path)}", 303, HEADERS)
                return await failure(request, ApiError(401, message="you are not signed in, or no longer"))
            except RequestValidationError as error:  # an address that cannot be one
                return await failure(request, ApiError(404) if request.method == "GET" else error)
            except Exception as error:
                return await failure(request, error)

        return shown


async def failure(request: Request, error: Exception) -> Response:
    """The page of an error: the words the interface has for it."""
    known = as_api_error(error)
    request.state.code = known.code
    if known.status_code == 500:
        log.error("request %s failed", request.state.request_id, exc_info=error)
    service = service_of(request)
    try:
        visitor = await signed_in(request, service)
    except Exception:  # the store may be what failed
        visitor = None
    shown = {"status": known.status_code, "sentence": known.detail, "request_id": request.state.request_id}
    response = page("error.html", known.status_code, visitor=visitor, error=shown)
    response.headers.update({name: value for name, value in (known.headers or {}).items() if name == "Retry-After"})
    return response
