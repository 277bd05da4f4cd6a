"""Pages to look at: sites, a site, a decision, the ledger."""

from __future__ import annotations

import re
from threading import Lock
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import RedirectResponse

from mfas.service.api.access import KnownSite, Running
from mfas.service.api.errors import ApiError
from mfas.service.console.forms import TOKEN, read_form
from mfas.service.console.rendering import HEADERS, STATIC, page, static_file
from mfas.service.console.views import called, detail, glance, key_names
from mfas.service.console.visiting import AdminVisitor, AnyVisitor, OperateVisitor, PageRoute, Visitor
from mfas.service.ledger import LedgerError, Verified, parse_anchor, verify
from mfas.service.limits import BusyError
from mfas.service.running import Service
from mfas.service.store import Site, StoreError

REQUEST = re.compile(r"[0-9a-f]{8,32}(\.\d{1,3})?")
"""An id, or how it begins: pages show the first twelve digits."""
DONE = {
    "approve": "The candidate is in force.",
    "reject": "The candidate was dropped.",
    "rollback": "The site was rolled back.",
    "freeze": "The site is frozen: it learns nothing, and goes on serving what is in force.",
    "unfreeze": "The site may learn again.",
}
_DAY = 24 * 3600
routes = APIRouter(prefix="/console", include_in_schema=False, route_class=PageRoute)
last_routes = APIRouter(prefix="/console", include_in_schema=False, route_class=PageRoute)
_verifying = Lock()


@routes.get("")
async def sites(visitor: AnyVisitor, service: Running) -> Response:
    """Sites at a glance; to who may only score, their names."""
    glances = await service.in_thread(lambda: [_seen(service, visitor, site) for site in _visible(service, visitor)])
    return page("sites.html", visitor=visitor, glances=glances)


def _visible(service: Service, visitor: Visitor) -> list[Site]:
    return [site for site in service.store.sites() if visitor.key.site in (None, site.name)]


def _seen(service: Service, visitor: Visitor, site: Site) -> object:
    looks = visitor.may("operate", site.name)
    return {"name": site.name, "glance": glance(service.store, site) if looks else None}


@routes.get("/sites/{site}")
async def one_site(visitor: OperateVisitor, site: KnownSite, service: Running, done: str = "") -> Response:
    """A site: what it serves, what its shadow learns, what was done to it."""
    found = await service.in_thread(lambda: detail(service.store, site))
    return page("site.html", visitor=visitor, site=site, detail=found, done=DONE.get(done, ""))


@routes.get("/sites/{site}/decisions")
async def find_decision(
    _: OperateVisitor, site: KnownSite, service: Running, request_id: Annotated[str, Query(max_length=100)] = ""
) -> Response:
    """From the field for a request id, or for how it begins, to the decision's page."""
    wanted = request_id.strip().lower()
    if not REQUEST.fullmatch(wanted):
        raise ApiError(422, message="expected a request id, or its first 8 to 32 hex digits, as every answer has one")
    found = await service.in_thread(lambda: service.store.request_ids(site.name, wanted, limit=2))
    if wanted not in found and len(found) > 1:
        raise ApiError(422, message=f"expected more of the request id: several begin with {wanted}")
    chosen = wanted if wanted in found or not found else found[0]
    return RedirectResponse(f"/console/sites/{site.name}/decisions/{chosen}", 303, HEADERS)


@routes.get("/sites/{site}/decisions/{request_id}")
async def decision(visitor: OperateVisitor, site: KnownSite, request_id: str, service: Running) -> Response:
    """A decision as it was recorded. There is no picture: none is kept."""
    found = await service.in_thread(lambda: service.store.decision(request_id))
    if found is None or found.site != site.name:
        raise ApiError(404, message="there is no decision of that request here, or it is past its retention")
    by = await service.in_thread(lambda: called(f"key {found.key_id}", key_names(service.store)))
    asked = by if found.key_id else "nobody with a key"
    return page("decision.html", visitor=visitor, site=site, found=found, asked=asked)


@routes.get("/ledger")
async def ledger(visitor: AdminVisitor, service: Running) -> Response:
    """The ledger's head, and the button to verify all of it."""
    _for_all_sites(visitor)
    seq, own = await service.in_thread(service.store.ledger_head)
    return page("ledger.html", visitor=visitor, head=f"{seq}:{own}", anchor="", found=None, fault="", mistyped="")


@routes.post("/ledger")
async def verify_ledger(request: Request, visitor: AdminVisitor, service: Running) -> Response:
    """Verify it, one at a time."""
    _for_all_sites(visitor)
    fields = await read_form(request, service.config.limits)
    visitor.check(fields.get(TOKEN, ""))
    anchor = fields.get("anchor", "").strip()
    found, fault, mistyped = None, "", ""
    try:
        kept = parse_anchor(anchor) if anchor else None
    except LedgerError as reason:
        mistyped = str(reason)
    else:
        found, fault = await service.in_thread(lambda: _verified(service, kept))
    seq, own = await service.in_thread(service.store.ledger_head)
    verified = {"found": found, "fault": fault, "mistyped": mistyped}
    return page("ledger.html", 200, visitor=visitor, head=f"{seq}:{own}", anchor=anchor, **verified)


def _verified(service: Service, anchor: tuple[int, str] | None) -> tuple[Verified | None, str]:
    if not _verifying.acquire(blocking=False):
        raise BusyError("the ledger is being verified already", 5)
    try:
        return verify(service.store.database, anchor), ""
    except (LedgerError, StoreError) as reason:
        return None, str(reason)
    finally:
        _verifying.release()


def _for_all_sites(visitor: Visitor) -> None:
    if not visitor.may("admin"):
        raise ApiError(403, message="the key has no scope 'admin' for all sites")


@routes.get("/static/{name}")
async def static(name: str) -> Response:
    """Style sheet, script, mark: the same for everybody."""
    if name not in STATIC:
        raise ApiError(404)
    headers = {**HEADERS, "Cache-Control": f"public, max-age={_DAY}"}
    return Response(static_file(name), media_type=STATIC[name], headers=headers)


@last_routes.get("/{rest:path}")
async def nothing(rest: str) -> Response:
    """What no page is."""
    del rest
    raise ApiError(404)
