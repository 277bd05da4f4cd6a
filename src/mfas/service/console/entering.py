"""Signing in with a key, and out again."""

from __future__ import annotations

import re

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from mfas.service.api.access import Running
from mfas.service.api.errors import ApiError
from mfas.service.console.forms import TOKEN, read_form
from mfas.service.console.rendering import HEADERS, page
from mfas.service.console.sessions import SESSION_COOKIE, SESSION_SECONDS, VISIT_COOKIE
from mfas.service.console.visiting import SIGN_IN, PageRoute, sessions_of, signed_in
from mfas.service.keys import Key
from mfas.service.running import Service
from mfas.service.settings import is_loopback

HOME = "/console"
_KEY_LENGTH = 200
_OURS = re.compile(r"/console(/[A-Za-z0-9._-]{1,128}){0,6}")
routes = APIRouter(include_in_schema=False, route_class=PageRoute)


@routes.get(SIGN_IN)
async def sign_in_form(request: Request, service: Running, next: str = "") -> Response:
    """The form for a key; it says what to do where no key was ever made."""
    return await _form(request, service, next)


@routes.post(SIGN_IN)
async def sign_in(request: Request, service: Running) -> Response:
    """Take the key; a cookie with its id, signed, stands for it from now on."""
    fields = await read_form(request, service.config.limits)
    visit = request.cookies.get(VISIT_COOKIE, "")
    if not visit or not sessions_of(service).ours(fields.get(TOKEN, ""), visit):
        raise ApiError(403, "form_expired", "expected the form of this page, got another; load the page again")
    if not _private(request):
        raise ApiError(403, "not_private", "expected a connection by HTTPS, a key must not travel in the clear")
    presented = fields.get("key", "").strip()[:_KEY_LENGTH]
    key = await service.in_thread(lambda: service.store.find_key(presented))
    if key is None:
        service.rate.take(f"refused {request.client.host if request.client else '-'}")
        request.state.code = "unauthenticated"
        return await _form(request, service, fields.get("next", ""), "This is no valid key.", 401)
    service.rate.take(key.id)
    await service.in_thread(lambda: _noted(service, key))
    response = RedirectResponse(_ours(fields.get("next", "")), 303, HEADERS)
    _set(request, response, SESSION_COOKIE, sessions_of(service).cookie(key.id), SESSION_SECONDS)
    response.delete_cookie(VISIT_COOKIE, HOME)
    return response


@routes.post("/console/sign-out")
async def sign_out(request: Request, service: Running) -> Response:
    """Forget the cookie."""
    fields = await read_form(request, service.config.limits)
    visitor = await signed_in(request, service)
    if visitor is not None:
        visitor.check(fields.get(TOKEN, ""))
    response = RedirectResponse(SIGN_IN, 303, HEADERS)
    response.delete_cookie(SESSION_COOKIE, HOME)
    return response


async def _form(request: Request, service: Service, after: str, fault: str = "", status: int = 200) -> Response:
    sessions = sessions_of(service)
    visit = request.cookies.get(VISIT_COOKIE) or sessions.visit()
    told = {"fault": fault, "private": _private(request), "keys": await service.in_thread(service.has_keys)}
    token = sessions.token(visit)
    response = page("sign_in.html", status, visitor=None, token=token, next=_ours(after), **told)
    _set(request, response, VISIT_COOKIE, visit, None)
    return response


def _noted(service: Service, key: Key) -> None:
    service.store.note("signed_in", key.site, {"key": key.id})


def _ours(path: str) -> str:
    """``path`` if it is a page of the console; anything else leads to the first page."""
    return path if _OURS.fullmatch(path) and ".." not in path else HOME


def _private(request: Request) -> bool:
    """Whether nobody on the way can read what is sent: HTTPS up to the proxy in front, or no way at all."""
    return _https(request) or is_loopback(request.url.hostname or "")


def _https(request: Request) -> bool:
    told = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    return told == "https" or request.url.scheme == "https"


def _set(request: Request, response: Response, name: str, value: str, seconds: int | None) -> None:
    # The header of a proxy is trusted for this only: who forges it takes their own cookie away.
    secure = _https(request)
    response.set_cookie(name, value, max_age=seconds, path=HOME, secure=secure, httponly=True, samesite="strict")
