"""Try it: three files, and a decision on the same page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from mfas.errors import ImageError
from mfas.export.record import as_json
from mfas.service.api.access import KnownSite, Running
from mfas.service.api.captures import IMAGES, TEXT_BYTES, one_capture
from mfas.service.api.decisions import answer_of
from mfas.service.api.errors import ApiError, as_api_error
from mfas.service.api.multipart import holding, read_parts
from mfas.service.api.schemas import CaptureFields
from mfas.service.console.crops import pictures
from mfas.service.console.forms import TOKEN
from mfas.service.console.rendering import page
from mfas.service.console.visiting import PageRoute, ScoreVisitor, Visitor
from mfas.service.inference import DeadlineError
from mfas.service.limits import BusyError
from mfas.service.running import Answered, Service
from mfas.service.store import Site

routes = APIRouter(prefix="/console/sites/{site}/try", include_in_schema=False, route_class=PageRoute)
EMPTY = {"box": "", "depth_kind": "metric", "depth_scale_m": "0.001", "subject": "", "device": "", "session": ""}
"""Fields of the form beside its images, as they are at first."""


@routes.get("")
async def form(visitor: ScoreVisitor, site: KnownSite) -> Response:
    """The form."""
    return page("try.html", visitor=visitor, site=site, fields=EMPTY, answer=None, pictures={}, fault="")


@routes.post("")
async def judge(request: Request, visitor: ScoreVisitor, site: KnownSite, service: Running) -> Response:
    """Decide on what was sent. It is recorded as any other decision; nothing is learnt from it."""
    limits, most = service.config.limits, 1 + len(IMAGES) + len(CaptureFields.model_fields)
    with holding(service.memory) as held:
        parts = await read_parts(request, limits, held, images=IMAGES, most=most, text_bytes=TEXT_BYTES)
        visitor.check(parts.pop(TOKEN, bytearray()).decode("ascii", "replace"))
        # A form sends its empty fields as well.
        told = {name: value for name, value in parts.items() if value}
        fields = {**EMPTY, **{n: told[n].decode("utf-8", "replace") for n in EMPTY if n in told}}
        try:
            answered = await _judged(request, visitor, site, service, told)
        except (ApiError, ImageError, BusyError, DeadlineError) as error:
            return _refused(request, visitor, site, fields, error)
    return page("try.html", visitor=visitor, site=site, fields=fields, fault="", **_shown(answered, service))


async def _judged(
    request: Request, visitor: Visitor, site: Site, service: Service, told: dict[str, bytearray]
) -> Answered:
    capture = one_capture(told)
    (answered,) = await service.judge(site, request.state.request_id, [capture], visitor.key, teach=False)
    return answered


def _shown(answered: Answered, service: Service) -> dict[str, Any]:
    planes, spec = answered.decision.planes, answered.scorer.card.preprocess
    found = {} if planes is None else pictures(planes, spec)
    told = answer_of(answered, tell=service.config.tell_scores)
    return {"answer": told, "record": as_json(told.record), "pictures": found}


def _refused(request: Request, visitor: Visitor, site: Site, fields: Mapping[str, str], error: Exception) -> Response:
    """The form again, with what is wrong."""
    known = as_api_error(error)
    request.state.code = known.code
    shown: dict[str, Any] = {"answer": None, "pictures": {}, "fault": known.detail}
    return page("try.html", known.status_code, visitor=visitor, site=site, fields=fields, **shown)
