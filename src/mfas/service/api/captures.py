"""Multipart bodies to captures, and what they look like in OpenAPI."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from mfas.core import Modality
from mfas.service.api.errors import ApiError
from mfas.service.api.schemas import CaptureFields
from mfas.service.deciding import Given

IMAGES_IN_ORDER = tuple(m.value for m in Modality)
IMAGES = frozenset(IMAGES_IN_ORDER)
TEXT_BYTES = 1024
"""Of a form field; a JSON part may be longer."""
CAPTURES = "captures"
_NUMBER = re.compile(r"\d{1,9}(\.\d{1,15})?([eE][+-]?\d{1,2})?")
_INDEXED = re.compile(r"(0|[1-9]\d{0,2})\.(rgb|depth|ir)")
_FIELDS = frozenset(CaptureFields.model_fields)


def one_capture(parts: dict[str, bytearray]) -> Given:
    """The capture of a single request; `ApiError` 422 for parts that are none of its fields, or no image."""
    images = {m: bytes(parts.pop(m.value)) for m in Modality if m.value in parts}
    unknown = sorted(set(parts) - _FIELDS)
    if unknown:
        raise ApiError(
            422, message=f"expected parts out of {', '.join([*IMAGES_IN_ORDER, *CaptureFields.model_fields])}"
        )
    fields: dict[str, Any] = {name: _text(name, value) for name, value in parts.items()}
    if "depth_scale_m" in fields:
        fields["depth_scale_m"] = _number("depth_scale_m", fields["depth_scale_m"])
    return _given(fields, images, "0", of="")


def many_captures(parts: dict[str, bytearray], most: int) -> list[Given]:
    """The captures of a batch request: a JSON part ``captures``, and images named ``0.rgb``, ``0.depth``, ``1.rgb``."""
    listed = _listed(parts.pop(CAPTURES, None), most)
    images: list[dict[Modality, bytes]] = [{} for _ in listed]
    for name in list(parts):
        found = _INDEXED.fullmatch(name)
        if found is None or int(found[1]) >= len(listed):
            raise ApiError(422, message="expected parts named 0.rgb, 0.depth, 0.ir and so on, one number per capture")
        images[int(found[1])][Modality(found[2])] = bytes(parts.pop(name))
    return [
        _given(fields, own, str(k), of=f"capture {k}: ")
        for k, (fields, own) in enumerate(zip(listed, images, strict=True))
    ]


def _listed(text: bytearray | None, most: int) -> list[Mapping[str, Any]]:
    if text is None:
        raise ApiError(422, message=f"expected a JSON part '{CAPTURES}'")
    try:
        content = json.loads(text.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ApiError(422, message=f"{CAPTURES}: expected JSON, got something else") from None
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        raise ApiError(422, message=f"{CAPTURES}: expected a list of objects")
    if not 1 <= len(content) <= most:
        raise ApiError(422, message=f"{CAPTURES}: expected 1 to {most} captures, got {len(content)}")
    return content


def _given(fields: Mapping[str, Any], images: Mapping[Modality, bytes], name: str, *, of: str) -> Given:
    """``of`` begins sentences about one of several."""
    if not images:
        raise ApiError(422, "no_image", f"{of}expected at least one of rgb, depth, ir, got none")
    try:
        told = CaptureFields.model_validate(fields)
    except ValidationError as reason:
        fault = reason.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])[:80]
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "string_pattern_mismatch":  # the pattern itself says nothing to people
            message = "expected x,y,w,h, 'full' or nothing" if where == "box" else "expected printable ASCII"
        raise ApiError(422, message=f"{of}{where}: {message}") from None
    return Given(images, name=name, **told.model_dump())


def _text(name: str, value: bytearray) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise ApiError(422, message=f"{name}: expected text in UTF-8") from None


def _number(name: str, text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise ApiError(422, message=f"{name}: expected a decimal number")
    return float(text)


def _refuse(constant: str) -> float:
    raise ValueError(constant)


def _image() -> dict[str, Any]:
    """The schema of an image in a multipart body."""
    return {"type": "string", "format": "binary", "description": "JPEG, PNG (8 or 16 bit) or WebP."}


def single_body() -> dict[str, Any]:
    """``requestBody`` of a single decision."""
    fields = CaptureFields.model_json_schema()["properties"]
    for name in ("subject", "device", "session", "nonce"):  # a form has no null
        fields[name] = {**fields[name].pop("anyOf")[0], **fields[name]}
        fields[name].pop("default")
    schema = {
        "type": "object",
        "properties": {**{m: _image() for m in IMAGES_IN_ORDER}, **fields},
        "additionalProperties": False,
        "anyOf": [{"required": [m]} for m in IMAGES_IN_ORDER],
    }
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def batch_body(most: int) -> dict[str, Any]:
    """``requestBody`` of a batch."""
    captures = {
        "type": "array",
        "minItems": 1,
        "maxItems": most,
        "items": CaptureFields.model_json_schema(),
        "description": "One object per capture; its images are the parts `N.rgb`, `N.depth`, `N.ir`, N from 0.",
    }
    schema = {
        "type": "object",
        "properties": {CAPTURES: captures},
        "patternProperties": {r"^(0|[1-9]\d{0,2})\.(rgb|depth|ir)$": _image()},
        "additionalProperties": False,
        "required": [CAPTURES],
    }
    encoding = {CAPTURES: {"contentType": "application/json"}}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema, "encoding": encoding}}}
