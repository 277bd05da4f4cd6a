"""Inline pictures: depth near = bright, holes grey, sizes bounded."""

import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from mfas.core import Modality
from mfas.report._images import SIDE, data_uri


def decode(uri):
    head, _, body = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(BytesIO(base64.b64decode(body))).convert("RGB"), dtype=float)


def png(array):
    buffer = BytesIO()
    Image.fromarray(array).save(buffer, format="PNG")
    return buffer.getvalue()


def test_metric_depth_is_bright_where_near():
    depth = np.full((64, 64), 900, dtype=np.uint16)
    depth[16:48, 16:48] = 500
    depth[:, :4] = 0
    shown = decode(data_uri(png(depth), Modality.DEPTH))
    assert shown[32, 32].mean() > shown[8, 60].mean() + 40
    hole = shown[32, 1]
    assert np.ptp(hole) < 30
    assert hole.mean() > 200


def test_eight_bit_depth_is_near_bright_already():
    depth = np.full((64, 64), 60, dtype=np.uint8)
    depth[16:48, 16:48] = 220
    shown = decode(data_uri(png(depth), Modality.DEPTH))
    assert shown[32, 32].mean() > shown[8, 60].mean() + 40


@pytest.mark.parametrize("value", [0, 700])
def test_flat_depth_does_not_fail(value):
    assert np.isfinite(decode(data_uri(png(np.full((32, 32), value, dtype=np.uint16)), Modality.DEPTH))).all()


def test_sixteen_bit_infrared_is_stretched(tmp_path):
    infrared = np.linspace(0, 3000, 64 * 64).reshape(64, 64).astype(np.uint16)
    path = tmp_path / "ir.png"
    path.write_bytes(png(infrared))
    shown = decode(data_uri(path, Modality.IR))
    assert shown.max() > 240
    assert shown.min() < 15


def test_pictures_are_small():
    rng = np.random.default_rng(0)
    uri = data_uri(png(rng.integers(0, 255, (1200, 900, 3), dtype=np.uint8)), Modality.RGB)
    assert decode(uri).shape == (SIDE, SIDE * 900 // 1200, 3)
    assert len(uri) < 20_000


def test_a_blurred_picture_keeps_its_size_and_loses_its_detail():
    rng = np.random.default_rng(0)
    image = png(rng.integers(0, 255, (200, 200, 3), dtype=np.uint8))
    sharp, blurred = decode(data_uri(image, Modality.RGB)), decode(data_uri(image, Modality.RGB, blurred=True))
    assert blurred.shape == sharp.shape
    assert np.abs(np.diff(blurred, axis=1)).mean() < 0.2 * np.abs(np.diff(sharp, axis=1)).mean()
