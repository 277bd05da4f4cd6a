"""Decoding: what is accepted, what is refused, and that refusing is cheap."""

import struct
import time
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mfas.data._header import parse_header
from mfas.data.images import depth_from_array, ir_from_array, read_depth, read_header, read_ir, read_raw_depth, read_rgb
from mfas.errors import ImageError


def encode(image: NDArray[Any], suffix: str = ".png") -> bytes:
    done, data = cv2.imencode(suffix, image)
    assert done
    return bytes(data)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def one_bit_png(width: int, height: int) -> bytes:
    rows = zlib.compress((b"\x00" + bytes((width + 7) // 8)) * height, 1)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


SMOOTH = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8), (0, 0), 4)


@pytest.mark.parametrize(("suffix", "name"), [(".png", "PNG"), (".jpg", "JPEG"), (".webp", "WebP")])
def test_rgb_of_every_format(tmp_path: Path, suffix: str, name: str) -> None:
    data = encode(SMOOTH[..., ::-1], suffix)
    (tmp_path / "wrong_name.tiff").write_bytes(data)
    header = read_header(tmp_path / "wrong_name.tiff", whole=True)
    assert (header.format, header.width, header.height, header.channels) == (name, 60, 40, 3)
    image = read_rgb(tmp_path / "wrong_name.tiff")
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - SMOOTH).mean() < (1 if suffix == ".png" else 6)
    assert np.array_equal(read_rgb(data), image)


def test_red_is_first() -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 2] = 200
    assert read_rgb(encode(red))[0, 0].tolist() == [200, 0, 0]


def test_grey_as_colour_and_lossless_webp_header() -> None:
    assert read_rgb(encode(SMOOTH[..., 0])).shape == (40, 60, 3)
    done, data = cv2.imencode(".webp", SMOOTH, [cv2.IMWRITE_WEBP_QUALITY, 101])
    assert done
    assert (parse_header(bytes(data)).width, parse_header(bytes(data)).height) == (60, 40)


def test_infrared_keeps_its_depth_of_bits() -> None:
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    assert np.array_equal(read_ir(encode(deep)), deep)
    assert np.array_equal(read_ir(encode(SMOOTH[..., 0])), SMOOTH[..., 0])


def test_infrared_of_three_channels_must_be_grey() -> None:
    grey = np.repeat(SMOOTH[..., :1], 3, axis=2)
    assert np.array_equal(read_ir(encode(grey)), SMOOTH[..., 0])
    assert np.abs(read_ir(encode(grey, ".jpg")).astype(int) - SMOOTH[..., 0]).mean() < 5
    colour = np.zeros((8, 8, 3), np.uint8)
    colour[..., 0] = 180
    with pytest.raises(ImageError, match="expected a grey infrared image, got a colour image"):
        read_ir(encode(colour))
    with pytest.raises(ImageError, match=r"expected infrared as uint8 or uint16 \(H, W\), got float32 \(4, 4\)"):
        ir_from_array(np.zeros((4, 4), np.float32))


def test_depth_in_metres_with_holes() -> None:
    raw = np.full((16, 16), 600, np.uint16)
    raw[0, 0] = 0
    depth = read_depth(encode(raw), 0.001)
    assert depth.dtype == np.float32
    assert np.isnan(depth[0, 0])
    assert depth[1, 1] == pytest.approx(0.6)
    assert np.array_equal(read_raw_depth(encode(raw)), raw)
    assert read_depth(encode(raw * 10), 0.0001)[1, 1] == pytest.approx(0.6)
    assert np.isnan(read_depth(encode(np.zeros((8, 8), np.uint16)), 0.001)).all()


def test_relative_depth_grows_with_distance_whatever_its_polarity() -> None:
    raw = np.array([[0, 1, 100, 255]], np.uint8).repeat(4, 0)
    far = read_depth(encode(raw), kind="relative_far_bright")[0]
    near = read_depth(encode(raw), kind="relative_near_bright")[0]
    assert np.isnan([far[0], near[0]]).all()
    assert far[1] < far[2] < far[3] == 1.0
    assert near[1] > near[2] > near[3] == 0.0
    grey = np.repeat(raw[..., None], 3, axis=2)
    assert read_depth(encode(grey), kind="relative_far_bright")[0, 3] == 1.0


def test_millimetres_declared_as_metres() -> None:
    face = np.full((20, 20), 900, np.uint16)
    with pytest.raises(ImageError, match=r"got a median depth of 900 m; check depth_scale_m \(now 1\)"):
        read_depth(encode(face), 1.0)
    with pytest.raises(ImageError, match="check depth_scale_m"):
        read_depth(encode(face), 1e-6)
    distant = face * 12
    distant[5:15, 5:15] = 900
    assert np.nanmin(read_depth(encode(distant), 0.001)) == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"II*\x00" + bytes(60), "expected depth as a 16-bit PNG (H, W), got a TIFF file"),
        (b"\x93NUMPY" + bytes(60), "got a NumPy array file"),
        (encode(SMOOTH[..., 0]), "depth as uint16 (H, W) times depth_scale_m, got uint8 (40, 60) in a PNG file"),
        (encode(SMOOTH), "got uint8 (40, 60, 3) in a PNG file"),
        (encode(SMOOTH[..., 0], ".jpg"), "got uint8 (40, 60) in a JPEG file"),
    ],
)  # fmt: skip
def test_depth_of_another_type_is_refused_in_words(data: bytes, expected: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_depth(data, 0.001)
    assert expected in str(caught.value)


def test_float_depth_arrays_are_refused() -> None:
    with pytest.raises(ImageError, match=r"expected depth as uint16 \(H, W\), got float32 \(112, 112, 3\)"):
        depth_from_array(np.zeros((112, 112, 3), np.float32))


def test_a_huge_image_is_refused_from_its_header(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(one_bit_png(30_000, 30_000))
    for read in (read_rgb, read_ir, read_depth, read_header):
        start = time.perf_counter()
        with pytest.raises(ImageError, match=r"expected at most 8,192 pixels a side .* got 30,000 x 30,000"):
            read(path)
        assert time.perf_counter() - start < 0.05


@pytest.mark.parametrize(("width", "height"), [(8_193, 1), (8_000, 8_000), (0, 5)])
def test_sizes_out_of_bounds(width: int, height: int) -> None:
    with pytest.raises(ImageError, match="expected at"):
        read_rgb(one_bit_png(width, min(height, 5)).replace(struct.pack(">I", 5), struct.pack(">I", height), 1))


def test_a_file_of_too_many_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfas.data.images.MAX_BYTES", 70_000)
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    (tmp_path / "big.png").write_bytes(encode(noise))
    with pytest.raises(ImageError, match="expected at most 70,000 bytes"):
        read_rgb(tmp_path / "big.png")


def test_missing_empty_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"image file not found: .*nothing\.png"):
        read_rgb(tmp_path / "nothing.png")
    with pytest.raises(ImageError, match="cannot be read"):
        read_rgb(tmp_path)
    with pytest.raises(ImageError, match="expected the name of an image file"):
        read_rgb(tmp_path / "a\0b.png")
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(ImageError, match=r"empty\.png: .*got an empty file"):
        read_rgb(tmp_path / "empty.png")
    (tmp_path / "page.png").write_bytes(b"<html>")
    with pytest.raises(ImageError, match="a file of another kind"):
        read_rgb(tmp_path / "page.png")


NOISE = np.random.default_rng(1).integers(0, 255, (24, 24, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_any_truncation_is_an_image_error(suffix: str) -> None:
    data = encode(NOISE, suffix)

    @settings(max_examples=60, deadline=None, database=None)
    @given(st.integers(0, len(data) - 2))
    def cut(length: int) -> None:
        with pytest.raises(ImageError):
            read_rgb(data[:length], "cut")

    cut()


def test_a_truncated_png_names_its_file(tmp_path: Path) -> None:
    data = encode(NOISE)
    (tmp_path / "half.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match=r"half\.png: expected a whole PNG file, got a truncated or damaged one"):
        read_rgb(tmp_path / "half.png")


def test_a_flipped_bit_in_a_png_is_noticed() -> None:
    data = bytearray(encode(NOISE))
    data[len(data) // 2] ^= 0x10
    with pytest.raises(ImageError):
        read_rgb(bytes(data))


@settings(max_examples=200, deadline=None, database=None)
@given(
    st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x10\x00\x00\x00WEBPVP8 ", b""]),
    st.binary(max_size=200),
)
def test_rubbish_never_raises_anything_else(start: bytes, rest: bytes) -> None:
    with pytest.raises(ImageError):
        read_rgb(start + rest)
