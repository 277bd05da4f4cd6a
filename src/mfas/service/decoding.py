"""Bytes of a request to images: told by content, measured before they are decoded, whole, and nothing but an image.

`mfas.data.images` decodes; what stands here are the stricter rules for bytes that strangers send.
"""

from __future__ import annotations

import re
from typing import Any

from numpy.typing import NDArray

from mfas.core import Modality
from mfas.data._header import Header
from mfas.data.images import METRIC, read_header, read_ir, read_raw_depth, read_rgb
from mfas.errors import ImageError

MAX_PIXELS = 25_000_000
"""Pixels of an image, told by its header."""
MAX_SCANS = 24
"""Passes of a progressive JPEG over its pixels (about ten are usual): each costs time, and a few bytes ask for one."""
_MOST_CHUNKS = 65_536
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd7]", re.DOTALL)
"""A marker that is neither stuffing, fill nor a restart within a scan."""


def decode(data: bytes, modality: Modality, depth_kind: str = METRIC, max_pixels: int = MAX_PIXELS) -> NDArray[Any]:
    """Decode one image: RGB uint8 ``[H, W, 3]``, infrared and depth uint8 or uint16 ``[H, W]`` (0 = hole in depth).

    JPEG, PNG of 8 or 16 bit, WebP, by content. The EXIF orientation is applied once; all other metadata is dropped.
    Metric depth is a 16-bit PNG. Raises `ImageError` for another format, more than ``max_pixels`` by the header (before
    anything is decoded), more than one picture, a file cut off, and bytes behind the picture's end.
    """
    name = modality.value
    header = read_header(data, name)
    if header.width * header.height > max_pixels:
        raise ImageError(
            f"{name}: expected at most {max_pixels:,} pixels, got {header.width:,} x {header.height:,} by the header"
        )
    _one_whole_picture(data, header, name)
    if modality is Modality.RGB:
        return read_rgb(data, name)
    if modality is Modality.IR:
        return read_ir(data, name)
    return read_raw_depth(data, depth_kind, name)


def _one_whole_picture(data: bytes, header: Header, name: str) -> None:
    end = {"PNG": _png_end, "JPEG": _jpeg_end, "WebP": _webp_end}[header.format](data, name)
    if end is None or end > len(data):
        raise ImageError(f"{name}: expected a whole {header.format} file, got a truncated or damaged one")
    if end < len(data):
        raise ImageError(f"{name}: expected nothing behind the picture, got {len(data) - end:,} further bytes")


def _png_end(data: bytes, name: str) -> int | None:
    """Offset behind the last chunk; checksums are looked at when the file is decoded."""
    at = 8
    for _ in range(_MOST_CHUNKS):
        if at + 12 > len(data):
            return None
        kind = data[at + 4 : at + 8]
        if kind == b"acTL":
            raise ImageError(f"{name}: expected one picture, got an animated PNG")
        at += 12 + int.from_bytes(data[at : at + 4], "big")
        if kind == b"IEND":
            return at
    return None


def _jpeg_end(data: bytes, name: str) -> int | None:
    """Offset behind the end marker, segment by segment: a marker inside a thumbnail or a table is not one."""
    at, scans = 2, 0
    for _ in range(_MOST_CHUNKS):
        found = _JPEG_MARKER.search(data, at)
        if found is None:
            return None
        marker, at = data[found.start() + 1], found.end()
        if marker == 0xD9:
            return at
        if marker == 0xDA:
            scans += 1
            if scans > MAX_SCANS:
                raise ImageError(f"{name}: expected at most {MAX_SCANS} scans in a JPEG, got more")
        at += int.from_bytes(data[at : at + 2], "big")
    return None


def _webp_end(data: bytes, name: str) -> int:
    if data[12:16] == b"VP8X" and data[20] & 0x02:
        raise ImageError(f"{name}: expected one picture, got an animated WebP")
    return 8 + int.from_bytes(data[4:8], "little")
