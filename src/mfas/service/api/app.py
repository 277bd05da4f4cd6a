"""The application: routes, errors and the gate around them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import metadata

from fastapi import FastAPI

from mfas.service.api import decisions, errors, sites, status
from mfas.service.api.gate import Closing, Gate
from mfas.service.console import console
from mfas.service.running import Service

log = logging.getLogger("mfas.service")
DESCRIPTION = "Decides whether the face in front of a camera is a living person or an attack."


def create_app(service: Service, closing: Closing | None = None) -> FastAPI:
    """The application of ``service``, which starts and stops with it; ``closing`` is set when the server goes down."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        await service.in_thread(service.start)
        purging = asyncio.create_task(_purge(service))
        yield
        purging.cancel()
        await service.in_thread(service.stop)

    app = FastAPI(
        title="mfas",
        description=DESCRIPTION,
        version=metadata.version("mfas"),
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.service = service
    for routes in (status.routes, sites.routes, decisions.router(service.config.limits)):
        app.include_router(routes)
    console.install(app)
    errors.install(app)
    app.add_middleware(
        Gate,
        metrics=service.metrics,
        places=service.places,
        json_bytes=service.config.limits.json_bytes,
        closing=closing or Closing(),
    )
    return app


async def _purge(service: Service) -> None:
    """Remove what is past its retention, again and again."""
    hours = service.config.purge_hours
    while hours:
        try:
            await service.in_thread(service.store.purge)
        except Exception:  # a database that is away now may be back by the next time
            log.exception("purging failed")
        await asyncio.sleep(hours * 3600)
