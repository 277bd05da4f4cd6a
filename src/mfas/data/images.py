"""Decoding of image files into arrays of known type, unit and range. Nothing is decoded before its header is checked.

Accepted: PNG (8 and 16 bit), JPEG and WebP, told by content and never by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mfas.data._header import Header, NeedMoreError, NotAnImageError, is_complete, parse_header
from mfas.errors import ImageError

MAX_SIDE = 8192
MAX_PIXELS = 40_000_000
MAX_BYTES = 64 * 1024 * 1024
NEAREST_M, FARTHEST_M = 0.05, 10.0
"""A depth image whose near parts all lie beyond the far bound, or wholly before the near one, has a wrong scale."""
METRIC = "metric"
NEAR_BRIGHT = "relative_near_bright"
FAR_BRIGHT = "relative_far_bright"
DEPTH_KINDS = (METRIC, NEAR_BRIGHT, FAR_BRIGHT)
_GREY_TOLERANCE = 0.02
"""Mean difference between the channels of a grey image, as a share of the range: what JPEG does to grey stays below."""
_HEAD_BYTES = 65_536

Source = Path | bytes


def read_header(source: Source, name: str = "image", *, whole: bool = False) -> Header:
    """Format and size from the first bytes of a file; `ImageError` when missing, of another kind or too large.

    ``whole`` reads on and checks that nothing of the file is cut off, without decoding it.
    """
    return _open(source, name, whole=whole)[1]


def read_rgb(source: Source, name: str = "image") -> NDArray[np.uint8]:
    """Decode a colour image to uint8 ``[H, W, 3]``, channel order RGB; grey is repeated, 16 bit loses its low byte."""
    data, _, name = _open(source, name)
    image = _decode(data, cv2.IMREAD_COLOR, name)
    return np.ascontiguousarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def read_ir(source: Source, name: str = "image") -> NDArray[Any]:
    """Decode a near-infrared image to uint8 or uint16 ``[H, W]``.

    Three equal channels (within what JPEG does to grey) are accepted; a colour image raises `ImageError`.
    """
    data, header, name = _open(source, name)
    if header.channels < 3:
        return _decode(data, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH, name)
    return ir_from_array(_decode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH, name), name)


def read_depth(source: Source, scale_m: float = 0.001, kind: str = METRIC, name: str = "image") -> NDArray[np.float32]:
    """Decode a depth image to float32 ``[H, W]``, NaN where the sensor measured nothing (value 0).

    ``metric``: a 16-bit PNG, metres = value x ``scale_m``. ``relative_near_bright`` and ``relative_far_bright``: grey
    of 8 or 16 bit, returned unitless in [0, 1] with larger = farther. Raises `ImageError` for other types, and, naming
    ``depth_scale_m``, for a metric image in which no face can be (everything beyond 10 m or before 5 cm).
    """
    return depth_from_array(read_raw_depth(source, kind, name), scale_m, kind, _name(source, name))


def read_raw_depth(source: Source, kind: str = METRIC, name: str = "image") -> NDArray[Any]:
    """Decode a depth image to its sensor values, uint16 (or uint8 of relative depth) ``[H, W]``, 0 = hole.

    `check_distance` and `scale_depth` make of it what `read_depth` returns.
    """
    data, header, name = _open(source, name, expected="depth as a 16-bit PNG (H, W)")
    if kind == METRIC and (header.format != "PNG" or header.bits != 16 or header.channels != 1):
        raise ImageError(
            f"{name}: expected depth as uint16 (H, W) times depth_scale_m, got {_describe(header)}; "
            f"relative 8-bit depth needs depth_kind '{NEAR_BRIGHT}' or '{FAR_BRIGHT}'"
        )
    if header.channels < 3:
        return _decode(data, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH, name)
    return ir_from_array(_decode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH, name), name)


def ir_from_array(image: NDArray[Any], name: str = "image") -> NDArray[Any]:
    """Check an infrared array: uint8 or uint16, ``[H, W]`` or ``[H, W, 3]`` with equal channels; returns ``[H, W]``."""
    if image.dtype not in (np.uint8, np.uint16) or image.ndim not in (2, 3):
        raise ImageError(f"{name}: expected infrared as uint8 or uint16 (H, W), got {image.dtype} {image.shape}")
    if image.ndim == 2:
        return image
    if image.shape[2] != 3:
        raise ImageError(f"{name}: expected infrared as uint8 or uint16 (H, W), got {image.dtype} {image.shape}")
    planes: Sequence[NDArray[Any]] = cv2.split(image)
    spread = cv2.subtract(reduce(cv2.max, planes), reduce(cv2.min, planes))
    if cv2.mean(spread)[0] / np.iinfo(image.dtype).max > _GREY_TOLERANCE:
        raise ImageError(f"{name}: expected a grey infrared image, got a colour image")
    return planes[1]


def depth_from_array(
    raw: NDArray[Any], scale_m: float = 0.001, kind: str = METRIC, name: str = "image"
) -> NDArray[np.float32]:
    """Turn raw sensor values ``[H, W]`` into what `read_depth` returns; same errors."""
    if kind not in DEPTH_KINDS:
        raise ImageError(f"{name}: expected depth_kind out of {', '.join(DEPTH_KINDS)}, got '{kind}'")
    allowed = (np.uint16,) if kind == METRIC else (np.uint8, np.uint16)
    if raw.dtype not in allowed or raw.ndim != 2:
        want = " or ".join(np.dtype(t).name for t in allowed)
        raise ImageError(f"{name}: expected depth as {want} (H, W), got {raw.dtype} {raw.shape}")
    if kind == METRIC:
        check_distance(raw, scale_m, name)
    return scale_depth(raw, scale_m, kind)


def scale_depth(raw: NDArray[Any], scale_m: float, kind: str) -> NDArray[np.float32]:
    """Sensor values, whole or a part of an image, to metres or [0, 1] and NaN, by `read_depth`'s rule; no check."""
    depth = raw.astype(np.float32)
    if kind == METRIC:
        depth *= np.float32(scale_m)
    else:
        depth /= np.float32(np.iinfo(raw.dtype).max)
        if kind == NEAR_BRIGHT:
            depth = np.float32(1.0) - depth
    depth[raw == 0] = np.nan
    return depth


def check_distance(raw: NDArray[Any], scale_m: float, name: str) -> None:
    """Raise `ImageError` for metric depth in which no face can be, by a robust look at its near and its far end.

    A sample of the pixels is looked at.
    """
    if not scale_m > 0:
        raise ImageError(f"{name}: expected depth_scale_m above zero, got {scale_m:g}")
    step = max(1, min(raw.shape) // 64)
    sample = raw[::step, ::step]
    sample = sample[sample > 0]
    if sample.size == 0:
        return
    at = [int(q * (sample.size - 1)) for q in (0.05, 0.5, 0.95)]
    sorted_there = np.partition(sample, at)
    near, middle, far = (float(sorted_there[place]) * scale_m for place in at)
    if near > FARTHEST_M or far < NEAREST_M:
        raise ImageError(
            f"{name}: expected a face between {NEAREST_M:g} and {FARTHEST_M:g} m, got a median depth "
            f"of {middle:.4g} m; check depth_scale_m (now {scale_m:g})"
        )


def _open(
    source: Source, name: str, *, whole: bool = True, expected: str = "a PNG, JPEG or WebP image"
) -> tuple[bytes, Header, str]:
    """Bytes, checked header and the name to use in messages."""
    if isinstance(source, bytes):
        header = _header(source, name, expected)
        _check_limits(header, len(source), name)
        data = source
    else:
        name = str(source)
        data, header = _read_file(source, name, expected, whole)
    if whole and not is_complete(data, header):
        raise ImageError(f"{name}: expected a whole {header.format} file, got a truncated or damaged one")
    return data, header, name


def _read_file(path: Path, name: str, expected: str, whole: bool) -> tuple[bytes, Header]:
    try:
        with path.open("rb") as handle:
            data = handle.read(_HEAD_BYTES)
            size = len(data) if len(data) < _HEAD_BYTES else path.stat().st_size
            if size > MAX_BYTES:
                raise ImageError(f"{name}: expected at most {MAX_BYTES:,} bytes, got {size:,}")
            try:
                header = parse_header(data)
            except (NeedMoreError, NotAnImageError):
                data += handle.read()
                header = _header(data, name, expected)
            _check_limits(header, size, name)
            if whole and len(data) < size:
                data += handle.read()
    except FileNotFoundError:
        raise ImageError(f"image file not found: {name}") from None
    except OSError as reason:
        raise ImageError(f"{name}: cannot be read ({reason.strerror})") from None
    except ValueError:
        raise ImageError(f"expected the name of an image file, got {name!r}") from None
    return data, header


def _header(data: bytes, name: str, expected: str) -> Header:
    try:
        return parse_header(data)
    except NeedMoreError:
        raise ImageError(f"{name}: expected a whole image file, got a truncated one of {len(data)} bytes") from None
    except NotAnImageError as kind:
        raise ImageError(f"{name}: expected {expected}, got {kind}") from None


def _check_limits(header: Header, size: int, name: str) -> None:
    width, height = header.width, header.height
    if width < 1 or height < 1:
        raise ImageError(f"{name}: expected at least one pixel, got {width} x {height}")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise ImageError(
            f"{name}: expected at most {MAX_SIDE:,} pixels a side and {MAX_PIXELS:,} in all, got {width:,} x {height:,}"
        )
    if size > MAX_BYTES:
        raise ImageError(f"{name}: expected at most {MAX_BYTES:,} bytes, got {size:,}")


def _decode(data: bytes, flags: int, name: str) -> NDArray[Any]:
    try:
        image: NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise ImageError(f"{name}: expected a readable image, got damaged pixel data")
    return image


def _name(source: Source, name: str) -> str:
    return name if isinstance(source, bytes) else str(source)


def _describe(header: Header) -> str:
    shape = (header.height, header.width) if header.channels == 1 else (header.height, header.width, header.channels)
    return f"uint{header.bits} {shape} in a {header.format} file"
