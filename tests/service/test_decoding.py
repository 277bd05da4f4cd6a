"""Bytes that strangers send: decoded, or refused with `ImageError`; never anything else, never slowly."""

from __future__ import annotations

import contextlib
import io
import resource
import struct
import time
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from longer import MORE
from mfas.core import Modality
from mfas.errors import ImageError
from mfas.service.decoding import decode

MIB = 1024 * 1024
SMOOTH = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8), (0, 0), 4)


def pillow(format: str, image: Any = SMOOTH, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, format, **options)
    return out.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def one_bit_png(width: int, height: int) -> bytes:
    packer = zlib.compressobj(9)
    row = b"\x00" + bytes((width + 7) // 8)
    rows = b"".join(packer.compress(row * 100) for _ in range(height // 100)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


SAMPLES = {
    "png": pillow("PNG"),
    "jpeg": pillow("JPEG"),
    "progressive": pillow("JPEG", progressive=True),
    "webp": pillow("WEBP"),
    "lossless": pillow("WEBP", lossless=True),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_each_format_is_read_by_content(name: str) -> None:
    image = decode(SAMPLES[name], Modality.RGB)
    assert (image.shape, image.dtype) == ((40, 60, 3), np.uint8)
    assert np.abs(image.astype(int) - SMOOTH).mean() < 6


def test_sixteen_bits_arrive_as_they_were_sent() -> None:
    depth = np.random.default_rng(0).integers(0, 65_536, (30, 50)).astype(np.uint16)
    assert np.array_equal(decode(pillow("PNG", depth), Modality.DEPTH), depth)
    assert np.array_equal(decode(pillow("PNG", depth), Modality.IR), depth)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_the_orientation_is_applied_once(format: str) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, :30] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter: left becomes top
    turned = decode(pillow(format, image, exif=exif), Modality.RGB)
    assert turned.shape == (60, 40, 3)
    assert turned[5:25].mean() > 240
    assert turned[35:55].mean() < 15


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("tail", [b"PK\x03\x04rest of a ZIP", b"%PDF-1.7", b"\x00", SAMPLES["png"], SAMPLES["jpeg"]])
def test_nothing_may_follow_the_picture(name: str, tail: bytes) -> None:
    with pytest.raises(ImageError, match="nothing behind the picture"):
        decode(SAMPLES[name] + tail, Modality.RGB)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_truncation_is_refused(name: str) -> None:
    data = SAMPLES[name]
    for length in {0, 1, 7, 20, *range(30, len(data), max(1, len(data) // 40)), len(data) - 1}:
        with pytest.raises(ImageError):
            decode(data[:length], Modality.RGB)


def test_moving_pictures_are_refused() -> None:
    frames = [Image.fromarray(SMOOTH), Image.fromarray(255 - SMOOTH)]
    for format, what in (("PNG", "animated PNG"), ("WEBP", "animated WebP")):
        out = io.BytesIO()
        frames[0].save(out, format, save_all=True, append_images=frames[1:])
        with pytest.raises(ImageError, match=what):
            decode(out.getvalue(), Modality.RGB)


@pytest.mark.parametrize("format", ["TIFF", "GIF", "BMP"])
def test_other_formats_are_refused(format: str) -> None:
    with pytest.raises(ImageError, match=f"got a {format} file"):
        decode(pillow(format), Modality.RGB)


def test_a_pixel_bomb_costs_nothing() -> None:
    bomb = one_bit_png(30_000, 30_000)
    assert len(bomb) < 200_000
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    with pytest.raises(ImageError, match="pixels"):
        decode(bomb, Modality.RGB)
    assert time.perf_counter() - begun < 0.05
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10 * 1024
    with pytest.raises(ImageError, match="25,000,000 pixels"):
        decode(one_bit_png(6_000, 5_000), Modality.RGB)


def hidden_frame() -> bytes:
    """A JPEG with a bare marker before its frame of 6,000 x 6,000, and one of 16 x 16 where a naive reader lands."""
    plain = bytes(cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1])
    at = plain.index(b"\xff\xc0")
    frame = plain[at : at + 2 + int.from_bytes(plain[at + 2 : at + 4], "big")]
    large = frame[:5] + struct.pack(">HH", 6000, 6000) + frame[9:]
    head = b"\xff\xd8\xff\xd0" + large + plain[2:at]
    filler = bytes(4 + 0xFFC0 - len(head) - 4) + frame
    comment = b"\xff\xfe" + struct.pack(">H", len(filler) + 2) + filler
    return head + comment + plain[at + len(frame) :]


def test_a_jpeg_cannot_hide_its_size_behind_a_bare_marker() -> None:
    data = hidden_frame()
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_COLOR_8).shape == (750, 750, 3)
    with pytest.raises(ImageError, match="broken header"):
        decode(data, Modality.RGB)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + b"\xff" * 8 * MIB,
        b"\xff\xd8" + b"\xff\xfe\x00\x02" * 2 * MIB,
        SAMPLES["jpeg"][:-2] + b"\xff\x00" * 4 * MIB + b"\xff\xd9",
        SAMPLES["png"][:33] + b"\0\0\0\0tEXtaaaa" * (8 * MIB // 12),
        SAMPLES["progressive"][:-2]
        + SAMPLES["progressive"][SAMPLES["progressive"].index(b"\xff\xda") : -2] * 60
        + b"\xff\xd9",
    ],
    ids=["fill", "empty segments", "stuffing", "empty chunks", "scans"],
)
def test_no_file_keeps_its_reader_busy(data: bytes) -> None:
    begun = time.perf_counter()
    with contextlib.suppress(ImageError):
        decode(data, Modality.RGB)
    assert time.perf_counter() - begun < 1.0


def anything(data: bytes) -> None:
    for modality in Modality:
        try:
            image = decode(data, modality, "relative_near_bright")
        except ImageError:
            continue
        assert image.size <= 3 * 25_000_000


@settings(max_examples=60 * MORE, deadline=1000)
@given(
    st.binary(max_size=300), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x20\0\0\0WEBPVP8 "])
)
def test_random_bytes_are_refused(tail: bytes, magic: bytes) -> None:
    anything(magic + tail)


@settings(max_examples=120 * MORE, deadline=1000)
@given(st.data())
def test_damaged_files_are_decoded_or_refused(data: st.DataObject) -> None:
    sample = bytearray(SAMPLES[data.draw(st.sampled_from(sorted(SAMPLES)))])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.one_of(st.integers(0, min(64, len(sample) - 1)), st.integers(0, len(sample) - 1)))
        sample[at] = data.draw(st.integers(0, 255))
    anything(bytes(sample))
