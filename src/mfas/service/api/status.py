"""How the service is: alive, ready, which version, and figures for Prometheus."""

from __future__ import annotations

from importlib import metadata
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from mfas.service.api.access import Running, operator_unless
from mfas.service.api.errors import ApiError, documented

routes = APIRouter(tags=["service"])


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Version(BaseModel):
    """What runs here."""

    version: str
    model: str
    model_id: str


@routes.get("/v1/health", responses=documented())
async def health() -> Health:
    """Whether the process answers at all; looks at nothing."""
    return Health()


@routes.get("/v1/ready", responses=documented())
async def ready(service: Running) -> Health:
    """Whether captures can be judged: the model is warm and the database is there, of this version."""
    if not service.ready:
        raise ApiError(503, "not_ready", "the service is starting or stopping", 1)
    try:
        await service.in_thread(service.store.check)
    except Exception:  # whatever the database says is for the log of its own machine
        raise ApiError(503, "not_ready", "the database does not answer as it should", 5) from None
    return Health()


@routes.get("/v1/version", responses=documented())
async def version(service: Running) -> Version:
    """Version of the package, and the source model."""
    source = service.source
    return Version(version=metadata.version("mfas"), model=source.card.model, model_id=source.model_id)


@routes.get(
    "/metrics",
    response_class=Response,
    responses={**documented(401, 403), 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request, service: Running) -> Response:
    """Figures in Prometheus' text format; an operator's key is needed unless the configuration opens them."""
    await operator_unless(request, service)
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
