"""The one shape of every error, and what becomes of the errors of the parts below."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from mfas.errors import ImageError
from mfas.service.inference import DeadlineError
from mfas.service.limits import BusyError, RateError
from mfas.service.store import NonceSeenError, NotAllowedError, StoreError, UnknownSiteError

CODES: dict[int, tuple[str, str]] = {
    400: ("bad_request", "expected a request that can be read"),
    401: ("unauthenticated", "expected a valid key as Authorization: Bearer KEY"),
    403: ("forbidden", "the key does not allow this"),
    404: ("not_found", "there is nothing at this address"),
    405: ("method_not_allowed", "this address does not take this method"),
    408: ("too_slow", "expected the request to arrive in time"),
    409: ("conflict", "the state of things does not allow this"),
    413: ("too_large", "expected a smaller request"),
    415: ("unsupported_media_type", "expected another content type"),
    422: ("invalid", "expected another content"),
    429: ("too_many_requests", "expected fewer requests"),
    500: ("internal", "something went wrong here; the request id finds it in the log"),
    503: ("unavailable", "the service cannot answer now"),
}
"""Code and sentence of a status whose cause says nothing more."""


class ErrorBody(BaseModel):
    """What every error answers."""

    model_config = ConfigDict(title="Error")

    code: str = Field(description="Stable name of the error.")
    message: str = Field(description="One sentence for people.")
    request_id: str = Field(description="Finds the request in the log of the service.")


class ApiError(HTTPException):
    """An answer that is an error."""

    def __init__(self, status: int, code: str = "", message: str = "", retry_after: int | None = None) -> None:
        usual = CODES.get(status, CODES[500])
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        super().__init__(status, message or usual[1], headers)
        self.code = code or usual[0]


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """``responses`` of a route that may fail so; 500 always may."""
    listed = sorted({*statuses, 429, 500, 503})
    return {status: {"model": ErrorBody, "description": CODES[status][1].capitalize() + "."} for status in listed}


def as_api_error(error: Exception) -> ApiError:
    """What the caller is told of an error; of those not made for callers nothing but that there was one."""
    match error:
        case ApiError():
            return error
        case RequestValidationError():
            return ApiError(422, message=_first_fault(error))
        case HTTPException(status_code=400):
            return ApiError(422, message="body: expected JSON, got something else")
        case HTTPException():
            found = ApiError(error.status_code)
            found.headers = {**(error.headers or {}), **(found.headers or {})}
            return found
        case ImageError():
            return ApiError(422, "bad_image", str(error))
        case RateError():
            return ApiError(429, "rate_limited", str(error), error.retry_after)
        case BusyError():
            return ApiError(429, "busy", str(error), error.retry_after)
        case DeadlineError():
            return ApiError(503, "deadline", str(error), 1)
        case UnknownSiteError():
            return ApiError(404, "unknown_site", "there is no site of that name")
        case NonceSeenError():
            return ApiError(409, "nonce_seen", "expected a nonce that was never used at this site, got one that was")
        case NotAllowedError():
            return ApiError(409, "not_allowed", str(error))
        case StoreError():
            return ApiError(422, "refused", str(error))
    return ApiError(500)


def response_of(error: ApiError, request_id: str) -> JSONResponse:
    """The answer itself."""
    body = {"code": error.code, "message": error.detail, "request_id": request_id}
    return JSONResponse(body, error.status_code, error.headers)


_FORESEEN: tuple[type[Exception], ...] = (
    HTTPException,
    RequestValidationError,
    ImageError,
    BusyError,
    DeadlineError,
    NotAllowedError,
    StoreError,
)


def install(app: FastAPI) -> None:
    """Let every error of a route be answered in the one shape; what no route foresaw goes to the outermost layer."""

    async def answered(request: Request, error: Exception) -> JSONResponse:
        known = as_api_error(error)
        request.state.code = known.code
        return response_of(known, request.state.request_id)

    for kind in _FORESEEN:
        app.add_exception_handler(kind, answered)


def _first_fault(error: RequestValidationError) -> str:
    """Where and what, without what came: it may be long, or somebody's."""
    fault = error.errors()[0]
    where = ".".join(str(part) for part in fault["loc"])
    return f"{where}: {fault['msg'].removeprefix('Value error, ')}"
