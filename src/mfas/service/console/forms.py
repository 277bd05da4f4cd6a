"""Short forms as they come in: text fields only, each at most once."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from mfas.service.api.errors import ApiError
from mfas.service.settings import Limits

FORM = "application/x-www-form-urlencoded"
TOKEN = "form"
"""Name of the field that holds a form's token."""
REASON_LENGTH = 500
_FIELDS = 10


async def read_form(request: Request, limits: Limits) -> dict[str, str]:
    """The fields of a form. Raises `ApiError`: 415 for another content type, 408 when it takes too long, 422."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise ApiError(415, message=f"expected a body of content type {FORM}")
    try:
        async with asyncio.timeout(limits.upload_seconds):
            body = await request.body()
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=_FIELDS
        )
    except TimeoutError:
        raise ApiError(408) from None
    except ClientDisconnect:
        raise ApiError(400, message="expected the whole request, got part of it") from None
    except ValueError:
        raise ApiError(422, message="expected a form, got something else") from None
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ApiError(422, message="expected each field once, got one twice")
    return fields


def reason_in(fields: dict[str, str]) -> str:
    """Why somebody does something; `ApiError` 422 when it is too long."""
    reason = fields.get("reason", "").strip()
    if len(reason) > REASON_LENGTH:
        raise ApiError(422, message=f"expected a reason of at most {REASON_LENGTH} characters, got {len(reason)}")
    return reason
