"""What an operator does to a site: a page that asks once more, and the deed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from mfas.service.api.access import KnownSite, Running
from mfas.service.api.errors import ApiError
from mfas.service.console.forms import TOKEN, read_form, reason_in
from mfas.service.console.rendering import HEADERS, page
from mfas.service.console.views import lineage
from mfas.service.console.visiting import OperateVisitor, PageRoute
from mfas.service.states import SOURCE, NotAllowedError, Site
from mfas.service.store import Store, StoreError
from mfas.service.store.types import State
from mfas.service.verdicts import CanaryChange

Action = Literal["approve", "reject", "rollback", "freeze", "unfreeze"]
_STATE = re.compile(rf"{SOURCE}|[0-9a-f]{{64}}")
routes = APIRouter(prefix="/console/sites/{site}/do", include_in_schema=False, route_class=PageRoute)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked before it is done. ``about`` is the state in force or the candidate that the person looked at.

    ``choices``: what may be in force again, nearest first.
    """

    action: Action
    about: str
    candidate: State | None = None
    changes: tuple[CanaryChange, ...] = ()
    choices: tuple[str, ...] = ()


@routes.get("/{action}")
async def ask(action: Action, visitor: OperateVisitor, site: KnownSite, service: Running) -> Response:
    """Tell what would be done, and ask."""
    question = await service.in_thread(lambda: _question(service.store, site, action))
    return page("confirm.html", visitor=visitor, site=site, question=question)


@routes.post("/{action}")
async def do(request: Request, action: Action, visitor: OperateVisitor, site: KnownSite, service: Running) -> Response:
    """Do it, unless the site is no longer as the person saw it."""
    fields = await read_form(request, service.config.limits)
    visitor.check(fields.get(TOKEN, ""))
    about, reason = fields.get("about", ""), reason_in(fields)
    if not _STATE.fullmatch(about):
        raise ApiError(422, message="expected the form of this page, got another")
    deed = _deed(service.store, site.name, action, about, fields.get("to", SOURCE))
    await service.in_thread(lambda: deed(visitor.name, reason))
    return RedirectResponse(f"/console/sites/{site.name}?done={action}", 303, HEADERS)


def _question(store: Store, site: Site, action: Action) -> Question:
    match action:
        case "approve" | "reject":
            if site.candidate is None:
                raise NotAllowedError(f"site {site.name}: no candidate waits")
            candidate = store.state(site.candidate)
            return Question(action, candidate.id, candidate, store.canary_changes(candidate.id))
        case "rollback":
            if site.state == SOURCE:
                raise NotAllowedError(f"site {site.name}: the source model is in force, there is no way back from it")
            return Question(action, site.state, choices=lineage(store, site))
        case "freeze" | "unfreeze":
            if site.frozen == (action == "freeze"):
                raise NotAllowedError(f"site {site.name}: it is {'' if site.frozen else 'not '}frozen already")
            return Question(action, site.state)


def _deed(store: Store, site: str, action: Action, about: str, to: str) -> Callable[[str, str], Site]:
    """A function of who and why."""
    match action:
        case "approve":
            return lambda by, reason: store.approve(site, about, by, reason)
        case "reject":
            return lambda by, reason: store.reject(site, about, by, reason)
        case "rollback":
            return lambda by, reason: _roll_back(store, site, about, to, by, reason)
        case "freeze":
            return lambda by, reason: store.freeze(site, by, reason)
        case "unfreeze":
            return lambda by, reason: store.unfreeze(site, by, reason)


def _roll_back(store: Store, site: str, about: str, to: str, by: str, reason: str) -> Site:
    in_force = store.site(site).state
    if in_force != about:
        raise NotAllowedError(f"site {site}: expected {about[:12]} in force, as the page showed, got {in_force[:12]}")
    if not _STATE.fullmatch(to):
        raise StoreError("expected a state that was in force before, got something else")
    return store.rollback(site, by, to, reason)
