"""What an image file says of itself before a pixel is decoded: format, size, bit depth, channels, completeness."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_OTHER_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"\x93NUMPY", "NumPy array"),
    (b"v/1\x01", "OpenEXR"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"%PDF", "PDF"),
    (b"PK\x03\x04", "ZIP"),
)
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset({0x00, 0x01, *range(0xD0, 0xDA)})
"""Markers without a length, which have no business before a scan: a decoder steps over them, and would find another
frame than one who takes the next two bytes for a length."""
_JPEG_FILL = re.compile(rb"\xff*(?=\xff)")
_JPEG_MOST = 4096
"""Segments before the first scan; a file of nothing but empty ones would keep its reader busy."""


@dataclass(frozen=True, slots=True)
class Header:
    """Format ``PNG``, ``JPEG`` or ``WebP``; pixels; bits per sample; channels (palette images count as 3)."""

    format: str
    width: int
    height: int
    bits: int
    channels: int


class NeedMoreError(Exception):
    """The bytes end before the size is told."""


class NotAnImageError(Exception):
    """The bytes are not PNG, JPEG or WebP; the text says what they look like."""


def parse_header(data: bytes) -> Header:
    """Read the header from the first bytes of a file; raises `NeedMoreError` or `NotAnImageError`."""
    if data.startswith(PNG_MAGIC):
        return _png(data)
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)[0]
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    if not data:
        raise NotAnImageError("an empty file")
    for magic, name in _OTHER_KINDS:
        if data.startswith(magic):
            raise NotAnImageError(f"a {name} file")
    raise NotAnImageError("a file of another kind")


def is_complete(data: bytes, header: Header) -> bool:
    """Whether the whole file is there: a PNG's chunks and checksums, a JPEG's end marker, a WebP's size."""
    if header.format == "PNG":
        return _png_complete(data)
    if header.format == "JPEG":
        return data.find(b"\xff\xd9", _jpeg_scan(data)) >= 0
    return len(data) >= 8 + int.from_bytes(data[4:8], "little")


def _png(data: bytes) -> Header:
    if len(data) < 26:
        raise NeedMoreError
    if data[12:16] != b"IHDR":
        raise NotAnImageError("a PNG file without a header")
    width, height, bits, colour = struct.unpack(">IIBB", data[16:26])
    if colour not in _PNG_CHANNELS:
        raise NotAnImageError("a PNG file with a broken header")
    return Header("PNG", width, height, 8 if colour == 3 else bits, _PNG_CHANNELS[colour])


def _png_complete(data: bytes) -> bool:
    at, end, view = 8, len(data), memoryview(data)  # slices of a view copy nothing
    while at + 12 <= end:
        length = int.from_bytes(view[at : at + 4], "big")
        stop = at + 8 + length
        if stop + 4 > end:
            return False
        if zlib.crc32(view[at + 4 : stop]) != int.from_bytes(view[stop : stop + 4], "big"):
            return False
        if data[at + 4 : at + 8] == b"IEND":
            return True
        at = stop + 4
    return False


def _jpeg(data: bytes) -> tuple[Header, int]:
    """The header and the offset behind the frame segment."""
    for marker, at, end in _jpeg_segments(data, 2):
        if marker in _JPEG_FRAMES:
            if at + 8 > len(data):
                raise NeedMoreError
            bits, height, width, channels = struct.unpack(">BHHB", data[at + 2 : at + 8])
            return Header("JPEG", width, height, bits, channels), end
    raise NotAnImageError("a JPEG file with a broken header")


def _jpeg_scan(data: bytes) -> int:
    """Offset of the first scan, so that a thumbnail's end marker is not taken for the image's."""
    try:
        for marker, at, _ in _jpeg_segments(data, _jpeg(data)[1]):
            if marker == 0xDA:
                return at
    except (NeedMoreError, NotAnImageError):
        pass
    return len(data)


def _jpeg_segments(data: bytes, at: int) -> Iterator[tuple[int, int, int]]:
    """Marker, offset of its length, offset behind it, of each segment from ``at`` on; at most `_JPEG_MOST` of them."""
    for _ in range(_JPEG_MOST):
        fill = _JPEG_FILL.match(data, at)
        at = fill.end() if fill else at
        if at + 4 > len(data):
            raise NeedMoreError
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at] != 0xFF or marker in _JPEG_BARE or length < 2:
            raise NotAnImageError("a JPEG file with a broken header")
        yield marker, at + 2, at + 2 + length
        at += 2 + length


def _webp(data: bytes) -> Header:
    if len(data) < 30:
        raise NeedMoreError
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = (v & 0x3FFF for v in struct.unpack("<HH", data[26:30]))
    elif kind == b"VP8L":
        word = int.from_bytes(data[21:25], "little")
        width, height = (word & 0x3FFF) + 1, (word >> 14 & 0x3FFF) + 1
    elif kind == b"VP8X":
        width, height = int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    else:
        raise NotAnImageError("a WebP file with a broken header")
    return Header("WebP", width, height, 8, 3)
