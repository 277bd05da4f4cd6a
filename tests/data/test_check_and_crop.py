"""`check_manifest` finds everything at once; `crop_manifest` writes crops that give the same network input."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data as photos

from mfas.card import Preprocess
from mfas.core import Modality
from mfas.data.capture import load_capture
from mfas.data.check import check_manifest
from mfas.data.cropping import crop_manifest
from mfas.data.manifest import Manifest, read_manifest, write_manifest
from mfas.data.preprocess import Capture, preprocess
from mfas.errors import ManifestError

Rows = Callable[[int], list[dict[str, object]]]


def test_a_good_manifest_and_its_counts(capture_rows: Rows, tmp_path: Path) -> None:
    rows = [
        row | {"site": "gate", "species": "print_flat" if row["label"] == "attack" else ""} for row in capture_rows(6)
    ]
    write_manifest(rows, tmp_path / "m.parquet")
    report = check_manifest(tmp_path / "m.parquet", require_labels=True, decode=True, workers=2)
    assert report.ok
    assert (report.captures, report.subjects, report.presentations) == (6, 3, 6)
    assert report.counts["species"] == {"": 3, "print_flat": 3}
    assert report.counts["site"] == {"gate": 6}
    assert report.counts["modality"] == {"rgb": 6, "depth": 6, "ir": 6}
    assert report.sizes == {m: {"48x48": 6} for m in ("rgb", "depth", "ir")}
    assert json.loads(json.dumps(report.to_dict()))["ok"] is True


def test_every_fault_is_listed_with_row_and_column(capture_rows: Rows, tmp_path: Path) -> None:
    rows = capture_rows(6)
    (tmp_path / str(rows[1]["ir"])).unlink()
    path = tmp_path / str(rows[2]["rgb"])
    path.write_bytes(path.read_bytes()[:-30])
    rows[3]["depth_scale_m"] = 1.0
    cv2.imwrite(str(tmp_path / str(rows[4]["depth"])), np.zeros((8, 8), np.uint8))
    lines = ["rgb,depth,ir,label,subject,box,depth_scale_m"]
    for i, row in enumerate(rows):
        label = "spoof" if i == 5 else row["label"]
        lines.append(
            f"{row['rgb']},{row['depth']},{row['ir']},{label},{row['subject']},full,{row.get('depth_scale_m', '')}"
        )
    (tmp_path / "m.csv").write_text("\n".join(lines) + "\n")
    report = check_manifest(tmp_path / "m.csv", decode=True)
    found = {(fault.row, fault.column) for fault in report.faults}
    assert found == {(2, "ir"), (3, "rgb"), (4, "depth"), (5, "depth"), (6, "label")}
    assert [fault.row for fault in report.faults] == [2, 3, 4, 5, 6]
    said = {fault.row: fault.message for fault in report.faults}
    assert "not found" in said[2]
    assert "truncated" in said[3]
    assert "depth_scale_m" in said[4]
    assert "expected depth as uint16" in said[5]
    assert not report.to_dict()["ok"]


def test_numbers_that_are_none_do_not_hide_other_faults(capture_rows: Rows, tmp_path: Path) -> None:
    rows = capture_rows(2)
    (tmp_path / "m.csv").write_text(f"rgb,timestamp\n{rows[0]['rgb']},noon\nlost.png,1\n")
    report = check_manifest(tmp_path / "m.csv")
    assert [(f.row, f.column) for f in report.faults] == [(1, "timestamp"), (2, "rgb")]
    (tmp_path / "odd.csv").write_text("photo,label\na.png,attack\n")
    assert "'photo'" in str(check_manifest(tmp_path / "odd.csv").faults[0])
    with pytest.raises(ManifestError, match="not found"):
        check_manifest(tmp_path / "none.csv")


def test_crops_of_a_manifest(tmp_path: Path) -> None:
    image = photos.astronaut()
    cv2.imwrite(str(tmp_path / "c.png"), image[..., ::-1])
    ir = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.uint16)[::2, ::2] * 200
    cv2.imwrite(str(tmp_path / "i.png"), ir)
    cv2.imwrite(str(tmp_path / "d.png"), ir // 100 + 500)
    cv2.imwrite(str(tmp_path / "none.png"), np.zeros((64, 64, 3), np.uint8))
    rows = [
        {"rgb": "c.png", "depth": "d.png", "ir": "i.png", "label": "bona_fide", "subject": "eileen"},
        {"rgb": "none.png", "label": "attack"},
        {"rgb": "c.png", "label": "attack", "box": "100,100,80,90"},
    ]
    source = write_manifest(rows, tmp_path / "m.csv")
    seen: list[tuple[int, int]] = []
    report = crop_manifest(source, tmp_path / "out", progress=lambda done, total: seen.append((done, total)), workers=2)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert [n.capture_id for n in report.no_face] == [source.row(1).capture_id]
    cropped = read_manifest(report.path)
    assert [row.box for row in cropped] == ["full", "full"]
    assert cropped.row(0).capture_id == source.row(0).capture_id
    assert cropped.row(0).subject == "eileen"
    stored = cv2.imread(str(cropped.resolve(cropped.row(0).ir)), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint16
    assert stored.shape[0] == stored.shape[1] < 256
    same_input(source, cropped)


def same_input(source: Manifest, cropped: Manifest) -> None:
    """A model sees the same pixels whether crops were written or made on the way."""
    spec = Preprocess(size=64)
    for before, after in ((0, 0), (2, 1)):
        one, two = load_capture(source.row(before), source.root), load_capture(cropped.row(after), cropped.root)
        assert isinstance(one, Capture)
        assert isinstance(two, Capture)
        planes, again = preprocess(one, spec), preprocess(two, spec)
        for modality in planes:
            assert np.array_equal(planes[modality], again[modality]), modality


def test_crops_already_made_are_left_alone(capture_rows: Rows, tmp_path: Path) -> None:
    source = write_manifest(capture_rows(2), tmp_path / "m.csv")
    cropped = read_manifest(crop_manifest(source, tmp_path / "out", name="m.csv").path)
    for row, copy in zip(source, cropped, strict=True):
        for modality in Modality:
            one = cv2.imread(str(source.resolve(row.path(modality))), cv2.IMREAD_UNCHANGED)
            two = cv2.imread(str(cropped.resolve(copy.path(modality))), cv2.IMREAD_UNCHANGED)
            assert np.array_equal(one, two)
