"""Templates to pages, and the headers every page has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined
from starlette.responses import HTMLResponse

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
STATIC = {"console.css": "text/css", "console.js": "text/javascript", "mark.svg": "image/svg+xml"}
"""Files that pages refer to, and their types."""
SHORT = 12
"""Digits of a hash that are shown where there is no room for all 64."""


def page(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page; every value is escaped."""
    return HTMLResponse(_environment().get_template(template).render(**values), status, HEADERS)


@cache
def static_file(name: str) -> bytes:
    """The bytes of one of `STATIC`."""
    return (resources.files("mfas.service.console") / "static" / name).read_bytes()


@cache
def static_path(name: str) -> str:
    """Address of one of `STATIC`; it changes with the content, so that browsers may keep what they have."""
    return f"/console/static/{name}?v={hashlib.sha256(static_file(name)).hexdigest()[:SHORT]}"


def utc(time: datetime) -> str:
    """ISO 8601 in UTC, to the second."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def short(identity: object) -> str:
    """The first `SHORT` digits, with the number of a capture of a batch.

    >>> short("0123456789abcdef.7")
    '0123456789ab.7'
    """
    digits, dot, number = str(identity).partition(".")
    return f"{digits[:SHORT]}{dot}{number}"


@cache
def _environment() -> Environment:
    folder = resources.files("mfas.service.console") / "templates"
    sources = {item.name: item.read_text(encoding="utf-8") for item in folder.iterdir() if item.is_file()}
    environment = Environment(
        loader=DictLoader(sources), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["utc"] = utc
    environment.filters["short"] = short
    environment.filters["words"] = lambda text: str(text).replace("_", " ")
    environment.globals["static"] = static_path
    return environment
