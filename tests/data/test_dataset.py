"""From manifest rows to batches: order, imposed patterns, non-responses, memory cache."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mfas.card import Preprocess
from mfas.core import MODALITIES, Batch, Modality
from mfas.data.capture import NoFace, load_capture
from mfas.data.dataset import CachedTensors, CaptureDataset, LoadedBatch, batches
from mfas.data.manifest import Manifest
from mfas.data.preprocess import Capture
from mfas.errors import ImageError

Rows = Callable[[int], list[dict[str, object]]]
SPEC = Preprocess(size=32)


@pytest.fixture
def manifest(capture_rows: Rows, tmp_path: Path) -> Manifest:
    rows = capture_rows(7)
    rows[2] |= {"rgb": "", "depth": ""}
    rows[5] |= {"ir": ""}
    return Manifest.from_rows(rows, tmp_path)


def full(loaded: LoadedBatch) -> Batch:
    assert loaded.batch is not None
    return loaded.batch


def test_batches_hold_what_each_capture_has(manifest: Manifest) -> None:
    loaded = list(batches(manifest, SPEC, 3))
    assert [part.rows for part in loaded] == [(0, 1, 2), (3, 4, 5), (6,)]
    first, second = full(loaded[0]), full(loaded[1])
    assert first.present.tolist() == [[True] * 3, [True] * 3, [False, False, True]]
    assert second.present[2].tolist() == [True, True, False]
    assert {m: tuple(x.shape) for m, x in first.images.items()} == {
        Modality.RGB: (3, 3, 32, 32), Modality.DEPTH: (3, 2, 32, 32), Modality.IR: (3, 1, 32, 32),
    }  # fmt: skip
    assert not first.images[Modality.RGB][2].any()
    assert all(x.dtype == torch.float32 for x in first.images.values())
    assert first.ids.capture_id == tuple(manifest.column("capture_id")[:3])


def test_an_imposed_pattern_and_those_it_leaves_with_nothing(manifest: Manifest) -> None:
    loaded = list(batches(manifest, SPEC, 4, missing="ir"))
    assert [part.rows for part in loaded] == [(0, 1, 3, 4), (5, 6)]
    assert [n.capture_id for n in loaded[0].non_responses] == [manifest.row(2).capture_id]
    assert all(Modality.IR not in full(part).images for part in loaded)
    assert all(bool(full(part).present.any(dim=1).all()) for part in loaded)
    only = list(batches(manifest.take(np.array([2])), SPEC, 4, missing="ir"))
    assert only[0].batch is None
    assert len(only[0].non_responses) == 1


def test_a_pattern_gives_the_same_pixels_as_masking_after(manifest: Manifest) -> None:
    whole = full(next(batches(manifest, SPEC, 2)))
    part = full(next(batches(manifest, SPEC, 2, missing="rgb")))
    for modality, image in part.images.items():
        assert torch.equal(image, whole.images[modality])


def test_threads_and_order_change_nothing_else(manifest: Manifest) -> None:
    order = [6, 0, 3, 2, 5]
    alone, threaded = (list(batches(manifest, SPEC, 2, order=order, workers=w)) for w in (0, 3))
    assert [part.rows for part in alone] == [(6, 0), (3, 2), (5,)] == [part.rows for part in threaded]
    for one, two in zip(alone, threaded, strict=True):
        assert all(torch.equal(full(one).images[m], full(two).images[m]) for m in full(one).images)


def test_a_broken_file_stops_the_stream_with_its_name(manifest: Manifest, tmp_path: Path) -> None:
    path = tmp_path / manifest.row(3).rgb
    path.write_bytes(path.read_bytes()[:100])
    for workers in (0, 2):
        with pytest.raises(ImageError, match=r"3_rgb\.png"):
            list(batches(manifest, SPEC, 2, workers=workers))


def test_the_dataset_is_a_sequence(manifest: Manifest) -> None:
    dataset = CaptureDataset(manifest, SPEC, missing="rgb,depth")
    assert len(dataset) == 7
    assert isinstance(dataset[5], NoFace)
    assert list(dataset[2]) == [Modality.IR]
    with pytest.raises(IndexError):
        dataset[7]
    with pytest.raises(ValueError, match="batch size"):
        next(batches(manifest, SPEC, 0))


def test_cached_tensors_equal_the_stream_but_for_rounding(manifest: Manifest) -> None:
    cached = CachedTensors(manifest, SPEC)
    assert len(cached) == 7
    assert cached.nbytes == 7 * (8 * 32 * 32 + 3)
    streamed, held = full(next(batches(manifest, SPEC, 7))), cached.batch(range(7))
    assert torch.equal(held.present, streamed.present)
    assert held.ids == streamed.ids
    for modality in MODALITIES:
        assert torch.allclose(held.images[modality], streamed.images[modality], atol=2e-3)
    masked = cached.batch(torch.tensor([1, 0]), missing=[Modality.DEPTH])
    assert not masked.images[Modality.DEPTH].any()
    assert masked.present.tolist() == [[True, False, True]] * 2
    assert torch.equal(cached.batch(range(7)).images[Modality.DEPTH], held.images[Modality.DEPTH])


def test_the_cache_leaves_out_captures_without_a_face(capture_rows: Rows, tmp_path: Path) -> None:
    rows = capture_rows(3)
    rows[1]["box"] = ""
    cached = CachedTensors(Manifest.from_rows(rows, tmp_path), SPEC)
    assert cached.rows.tolist() == [0, 2]
    assert [n.reason for n in cached.non_responses] == [f"no face found in {rows[1]['rgb']}"]
    assert len(cached.batch([0, 1]).ids) == 2


def test_a_box_is_taken_in_pixels_of_the_rgb_image_even_when_it_is_dropped(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "c.png"), np.zeros((80, 120, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "i.png"), np.zeros((40, 60), np.uint8))
    row = Manifest.from_rows([{"rgb": "c.png", "ir": "i.png", "box": "10,10,20,20"}], tmp_path).row(0)
    capture = load_capture(row, tmp_path, drop=[Modality.RGB])
    assert isinstance(capture, Capture)
    assert list(capture.images) == [Modality.IR]
    assert capture.reference == (80, 120)


def test_a_box_beside_the_image_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "c.png"), np.zeros((80, 120, 3), np.uint8))
    row = Manifest.from_rows([{"capture_id": "c7", "rgb": "c.png", "box": "130,10,20,20"}], tmp_path).row(0)
    with pytest.raises(ImageError, match="capture c7: expected a box inside 120 x 80 pixels, got 130,10,20,20"):
        load_capture(row, tmp_path)


def test_faces_are_looked_for_in_rgb_then_infrared_never_in_depth(tmp_path: Path) -> None:
    from skimage import data as photos

    image = photos.astronaut()
    cv2.imwrite(str(tmp_path / "c.png"), image[..., ::-1])
    cv2.imwrite(str(tmp_path / "i.png"), cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.uint16) * 30)
    cv2.imwrite(str(tmp_path / "d.png"), np.full((512, 512), 700, np.uint16))
    row = Manifest.from_rows([{"rgb": "c.png", "ir": "i.png", "depth": "d.png"}], tmp_path).row(0)
    seen, infrared = load_capture(row, tmp_path), load_capture(row, tmp_path, drop=[Modality.RGB])
    assert isinstance(seen, Capture)
    assert isinstance(infrared, Capture)
    assert seen.box is not None
    assert infrared.box is not None
    assert abs(seen.box.x - infrared.box.x) < 15
    alone = load_capture(row, tmp_path, drop=[Modality.RGB, Modality.IR])
    assert isinstance(alone, NoFace)
    assert "depth alone" in alone.reason
