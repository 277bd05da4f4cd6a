"""``POST /v1/sites/{site}/decisions`` and its batch; looking a decision up again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request

from mfas.core import Modality
from mfas.export.record import for_caller
from mfas.service.api.access import KnownSite, OperateCaller, Running, ScoreCaller
from mfas.service.api.captures import (
    IMAGES,
    TEXT_BYTES,
    batch_body,
    many_captures,
    one_capture,
    single_body,
)
from mfas.service.api.errors import ApiError, documented
from mfas.service.api.multipart import holding, read_parts
from mfas.service.api.schemas import BatchAnswer, CaptureFields, DecisionAnswer, StoredAnswer
from mfas.service.running import Answered
from mfas.service.settings import Limits

_FAILS = documented(400, 401, 403, 404, 408, 409, 413, 415, 422)
RequestId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}(\.\d{1,3})?$")]


def router(limits: Limits) -> APIRouter:
    """The routes, under limits that OpenAPI tells."""
    routes = APIRouter(prefix="/v1/sites/{site}/decisions", tags=["decisions"])
    single, batch = {"requestBody": single_body()}, {"requestBody": batch_body(limits.batch)}
    routes.post("", response_model=DecisionAnswer, responses=_FAILS, openapi_extra=single)(decide)
    routes.post("/batch", response_model=BatchAnswer, responses=_FAILS, openapi_extra=batch)(decide_batch)
    found = documented(401, 403, 404, 422)
    routes.get("/{request_id}", response_model=StoredAnswer, responses=found)(stored_decision)
    return routes


async def decide(request: Request, caller: ScoreCaller, site: KnownSite, service: Running) -> DecisionAnswer:
    """Decide whether one capture shows a living person. Any of the three images will do."""
    limits, most = service.config.limits, len(IMAGES) + len(CaptureFields.model_fields)
    with holding(service.memory) as held:
        parts = await read_parts(request, limits, held, images=IMAGES, most=most, text_bytes=TEXT_BYTES)
        captures = [one_capture(parts)]
        answered = await service.judge(site, request.state.request_id, captures, caller.key)
    return answer_of(answered[0], tell=service.config.tell_scores)


async def decide_batch(request: Request, caller: ScoreCaller, site: KnownSite, service: Running) -> BatchAnswer:
    """Decide on several captures at once: all of them, or, if one cannot be used, none."""
    limits = service.config.limits
    most, text_bytes = 1 + limits.batch * len(Modality), limits.json_bytes
    with holding(service.memory) as held:
        parts = await read_parts(request, limits, held, images=IMAGES, most=most, text_bytes=text_bytes)
        captures = many_captures(parts, limits.batch)
        answered = await service.judge(site, request.state.request_id, captures, caller.key, batch=True)
    answers = [answer_of(one, tell=service.config.tell_scores) for one in answered]
    return BatchAnswer(request_id=request.state.request_id, decisions=answers)


async def stored_decision(request_id: RequestId, _: OperateCaller, site: KnownSite, service: Running) -> StoredAnswer:
    """A decision as it was recorded, until its retention ends."""
    found = await service.in_thread(lambda: service.store.decision(request_id))
    if found is None or found.site != site.name:
        raise ApiError(404, "unknown_decision", "there is no decision of that request here")
    return StoredAnswer.model_validate(found)


def answer_of(one: Answered, *, tell: bool) -> DecisionAnswer:
    """What the caller sees: nothing of reliability, of what was mixed in, or of what may be learnt from it."""
    stored, card = one.stored, one.scorer.card
    return DecisionAnswer.model_validate(
        {
            "request_id": stored.request_id,
            "outcome": stored.outcome,
            "reason": stored.reason,
            "decision": stored.decision,
            "score": stored.score if tell else None,
            "threshold": stored.threshold,
            "threshold_id": stored.threshold_id,
            "modality_scores": dict(stored.modality_scores) if tell else {},
            "uncertainty": stored.uncertainty if tell else None,
            "substituted": list(stored.substituted),
            "present": stored.present,
            "missing": stored.missing,
            "model": card.model,
            "model_id": stored.model_id,
            "state_id": stored.state_id,
            "notice": card.told().get("notice"),
            "record": for_caller(one.decision.record, scores=tell),
        }
    )
