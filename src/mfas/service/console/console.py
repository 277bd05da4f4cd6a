"""The console as part of an application."""

from __future__ import annotations

from fastapi import FastAPI

from mfas.service.console import acting, entering, pages, trying

ROUTERS = (entering.routes, pages.routes, acting.routes, trying.routes, pages.last_routes)
"""All pages; the last answers what no page is."""


def install(app: FastAPI) -> None:
    """Add the pages."""
    for routes in ROUTERS:
        app.include_router(routes)
