"""Multipart bodies, read as they arrive: a limit holds before the byte after it is kept, and nothing goes to disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from mfas.service.api.errors import ApiError
from mfas.service.limits import Ceiling
from mfas.service.settings import Limits

_HEADER_BYTES = 4096
_BOUNDARY_BYTES = 200


def content_length(request: Request) -> int | None:
    """What the request says of its length; None if nothing that can be read."""
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else None


@contextmanager
def holding(memory: Ceiling) -> Iterator[_Held]:
    """Bytes taken inside are given back at the end."""
    held = _Held(memory)
    try:
        yield held
    finally:
        memory.give(held.amount)


class _Held:
    def __init__(self, memory: Ceiling) -> None:
        self._memory, self.amount = memory, 0

    def take(self, amount: int) -> None:
        self._memory.take(amount)
        self.amount += amount


async def read_parts(
    request: Request, limits: Limits, held: _Held, *, images: frozenset[str], most: int, text_bytes: int
) -> dict[str, bytearray]:
    """The parts of a ``multipart/form-data`` body.

    A part whose name ends in one of ``images`` (after the last dot) may be as long as an image, others ``text_bytes``.
    Raises `ApiError`: 415 for another content type, 413 past a limit, 408 when it takes too long, 422 for a body that
    is not multipart or names a part twice.
    """
    boundary = _boundary(request)
    length = content_length(request)
    if length is not None and length > limits.request_bytes:
        raise too_large("request", limits.request_bytes)
    reader = _Reader(boundary, limits, images, most, text_bytes)
    try:
        async with asyncio.timeout(limits.upload_seconds):
            await _feed(reader, request.stream(), limits, held)
    except TimeoutError:
        sentence = f"expected the whole request within {limits.upload_seconds:g} s, got part of it"
        raise ApiError(408, message=sentence) from None
    except FormParserError:
        raise ApiError(422, "bad_multipart", "expected a multipart body, got something else") from None
    except ClientDisconnect:
        raise ApiError(400, message="expected the whole request, got part of it") from None
    if not reader.ended:
        raise ApiError(422, "bad_multipart", "expected a whole multipart body, got part of it")
    return reader.parts


async def _feed(reader: _Reader, stream: AsyncIterator[bytes], limits: Limits, held: _Held) -> None:
    total = 0
    async for chunk in stream:
        total += len(chunk)
        if total > limits.request_bytes:
            raise too_large("request", limits.request_bytes)
        held.take(len(chunk))
        reader.write(chunk)


def too_large(what: str, most: int) -> ApiError:
    """413, with the limit."""
    return ApiError(413, message=f"{what}: expected at most {most:,} bytes, got more")


def _boundary(request: Request) -> bytes:
    kind, told = parse_options_header(request.headers.get("content-type", ""))
    boundary = told.get(b"boundary", b"")
    if kind.lower() != b"multipart/form-data" or not 1 <= len(boundary) <= _BOUNDARY_BYTES:
        raise ApiError(415, message="expected multipart/form-data with a boundary")
    return boundary


class _Reader:
    """Callbacks of the parser, which calls them with slices of what it was given."""

    def __init__(self, boundary: bytes, limits: Limits, images: frozenset[str], most: int, text_bytes: int) -> None:
        self.parts: dict[str, bytearray] = {}
        self.ended = False
        self._limits, self._images, self._most, self._text_bytes = limits, images, most, text_bytes
        self._name, self._what, self._room = "", "", 0
        self._headers, self._field, self._value = 0, bytearray(), bytearray()
        callbacks: Any = {
            "on_part_begin": self._part_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_end": self._end,
        }
        self._parser = MultipartParser(boundary, callbacks)

    def write(self, chunk: bytes) -> None:
        self._parser.write(chunk)

    def _part_begin(self) -> None:
        if len(self.parts) >= self._most:
            raise ApiError(422, "bad_multipart", f"expected at most {self._most} parts, got more")
        self._name, self._headers = "", 0

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._value += data[start:end]

    def _count(self, size: int) -> None:
        self._headers += size
        if self._headers > _HEADER_BYTES:
            raise ApiError(422, "bad_multipart", "expected short headers of a part, got long ones")

    def _header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            told = parse_options_header(bytes(self._value))[1]
            self._name = told.get(b"name", b"").decode("latin-1")
        self._field.clear()
        self._value.clear()

    def _headers_finished(self) -> None:
        if not self._name or self._name in self.parts:
            raise ApiError(422, "bad_multipart", "expected parts of different names, got one unnamed or named twice")
        self.parts[self._name] = bytearray()
        if self._name.rpartition(".")[2] in self._images:
            self._what, self._room = "image", self._limits.image_bytes
        else:  # an image under a wrong name is the likeliest reason
            self._what, self._room = f"part that is none of {', '.join(sorted(self._images))}", self._text_bytes

    def _data(self, data: bytes, start: int, end: int) -> None:
        part = self.parts[self._name]
        if len(part) + end - start > self._room:
            raise too_large(self._what, self._room)
        part += data[start:end]

    def _end(self) -> None:
        self.ended = True
