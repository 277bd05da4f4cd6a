"""The console as part of an application."""

from __future__ import annotations

from fastapi import FastAPI

from mfas.service.console import acting, entering, pages, trying


def install(app: FastAPI) -> None:
    """Add the pages; the last route answers what no page is."""
    for routes in (entering.routes, pages.routes, acting.routes, trying.routes, pages.last_routes):
        app.include_router(routes)
