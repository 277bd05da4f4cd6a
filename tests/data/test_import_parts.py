"""What the importers share: names, frame rules, borders, people in two splits, faces in videos, moved boxes."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError
from skimage import data as photos

from commands import mfas, refusal
from mfas.core import Label, Modality
from mfas.data.box import FULL, parse_box
from mfas.data.importers._cefa import border_box, cefa_name, cefa_split
from mfas.data.importers._frames import FrameRule, pick_frames
from mfas.data.importers._subjects import separate_subjects
from mfas.data.importers._twins import by_modality
from mfas.data.importers._videos import find_faces, video_frames
from mfas.data.importers._wmca import wmca_name
from mfas.data.importers.contract import Item, Skip, Where
from mfas.data.importers.hq_wmca import HqWmca
from mfas.data.importers.registry import importer_class
from mfas.data.importers.run import ImportConfig, _once
from mfas.data.manifest import read_manifest


@pytest.mark.parametrize(
    ("name", "species"),
    [
        ("005_03_000_0_01", ""),
        ("512_01_008_1_15", "glasses"),
        ("001_01_043_1_13", "rigid_mask"),
        ("001_01_043_1_09", "wig"),
        ("501_01_032_2_07", "fake_head"),
        ("001_01_033_2_11", "paper_mask"),
        ("001_01_033_2_17", "rigid_mask"),
        ("001_01_033_2_18", "flexible_mask"),
        ("001_01_033_2_75", "flexible_mask"),
        ("001_01_033_2_40", "type_2_40"),
        ("098_04_010_3_14", "print"),
        ("098_04_010_3_15", "replay"),
        ("098_04_004_4_18", "replay"),
        ("098_04_004_5_02", "makeup"),
    ],
)
def test_names_of_wmca(name: str, species: str) -> None:
    found = wmca_name(f"face-station/12.02.18/{name}.hdf5")
    assert found is not None
    assert (found.species, found.label is Label.ATTACK) == (species, bool(species))
    assert wmca_name("face-station/12.02.18") is None


def test_names_of_cefa() -> None:
    live = cefa_name("CeFA/CeFA-Race/AF/AF-300/1_300_1_1_1/profile/0026.jpg")
    assert live is not None
    assert (live.subject, live.species, live.clip[-11:]) == ("AF-300", "", "1_300_1_1_1")
    mask = cefa_name("CASIA_CeFA/Mask/3D-Mask/073/1_073_1_0_2_1_2/color")
    assert mask is not None
    assert (mask.subject, mask.species) == ("3d_mask-073", "3d_mask")
    assert cefa_name("AF/AF-001/1_001_1_1_7/color/0001.jpg") is None
    splits = {"AF-199": "train", "CA-200": "validation", "EA-299": "validation", "AF-300": "test", "AF-500": None}
    assert {name: cefa_split(name) for name in (*splits, "silicone-001")} == {**splits, "silicone-001": "test"}


def test_frame_rules() -> None:
    assert pick_frames(3, FrameRule(count=5)) == [0, 1, 2]
    assert pick_frames(7, FrameRule(count=0, spacing=3)) == [0, 3, 6]
    assert pick_frames(9, FrameRule(count=1)) == [4]


def test_modalities_are_told_by_name_whatever_the_column() -> None:
    found = by_modality(["a/ir/1.jpg", "a/profile/1.jpg", "Val/0/1-depth.jpg"])
    assert isinstance(found, dict)
    assert found[Modality.RGB] == "a/profile/1.jpg"
    assert found[Modality.DEPTH] == "Val/0/1-depth.jpg"
    assert "expected one ir image" in str(by_modality(["a/ir/1.jpg", "a/ir/2.jpg", "a/depth/1.jpg"]))


def test_the_box_of_a_bordered_image_has_no_border_in_its_crop() -> None:
    image = np.zeros((100, 140, 3), np.uint8)
    assert border_box(image + np.uint8(90)) == FULL
    image[10:90, 30:100] = 90
    box = parse_box(border_box(image))
    assert not isinstance(box, str)
    assert box is not None
    assert box.centre == pytest.approx((65, 50), abs=0.01)
    assert 1.3 * box.w == pytest.approx(70, abs=0.02)


def _row(subject: str, split: str, line: int) -> dict[str, object]:
    return {"subject": subject, "split": split, "where": ["list", line], "x_subject": subject}


def test_a_person_in_two_splits_is_dropped_or_kept_under_two_names() -> None:
    rows = [
        _row("a", "train", 1),
        _row("a", "test", 2),
        _row("a", "test", 3),
        _row("b", "train", 4),
        _row("", "test", 5),
    ]
    kept, skips = separate_subjects(rows, keep=False)
    assert [row["where"][1] for row in kept] == [2, 3, 4, 5]
    assert [(skip.kind, skip.where.line) for skip in skips] == [("subject", 1)]
    kept, skips = separate_subjects(rows, keep=True)
    assert skips == []
    assert Counter(row["subject"] for row in kept) == {"a@train": 1, "a": 2, "b": 1, "": 1}


def test_a_capture_of_two_lists_stays_in_the_later_split() -> None:
    items = [Item(Where("val", 9), "x", None, "validation"), Item(Where("test", 1), "x", None, "test")]
    for order in (items, items[::-1]):
        kept, skips = _once(order)
        assert [item.split for item in kept] == ["test"]
        assert [(skip.kind, skip.where.file) for skip in skips] == [("duplicate", "val")]


def test_faces_of_a_real_video_are_found_and_lend_their_box(tmp_path: Path) -> None:
    photo = cv2.resize(photos.astronaut(), (320, 320))
    writer = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (320, 320))
    for frame in range(4):
        writer.write(np.full_like(photo, 90) if frame == 3 else np.ascontiguousarray(photo[..., ::-1]))
    writer.release()
    frames = list(video_frames(tmp_path / "v.avi", FrameRule(count=2, spacing=3)))
    assert [number for number, _ in frames] == [0, 3]
    assert abs(frames[0][1].astype(float) - photo).mean() < 6  # RGB, not BGR
    boxes = find_faces([image for _, image in frames], None)
    assert boxes is not None
    assert boxes[0] == boxes[1]
    assert 100 < boxes[0].centre[0] < 180
    assert find_faces([frames[1][1]], None) is None


def test_depth_is_cut_with_the_box_of_rgb_moved_by_the_registration() -> None:
    options = HqWmca.Options(registration={"depth": (0.5, 0, 10, 0, 0.5, -5)}, scale=1.0)
    importer = HqWmca(Path(), options)
    image = np.arange(200 * 200, dtype=np.uint16).reshape(200, 200)
    box = parse_box("100,60,40,40")
    assert not isinstance(box, str)
    assert box is not None
    cut = importer._cut(image, Modality.DEPTH, box, (400, 400))
    assert np.array_equal(cut, image[25:45, 60:80])


def test_the_command_tells_what_it_skipped(tmp_path: Path) -> None:
    folder = tmp_path / "mine/test/live/anna/visit/rgb"
    folder.mkdir(parents=True)
    for i in range(3):
        cv2.imwrite(str(folder / f"{i}.png"), np.full((40, 40, 3), (10, 80, 150 + i), np.uint8))
    (folder / "2.png").write_bytes(b"no image")
    out = tmp_path / "out/m.csv"
    refused = refusal("data", "import", "folder", tmp_path / "mine", "--out", out)
    assert "got 1 of 3 (1 damaged); the first: test/live/anna/visit/2" in refused
    told = mfas("data", "import", "folder", tmp_path / "mine", "--out", out, "--set", "max_broken=0.5")
    assert "skipped: 1\nskipped_by_kind:\n  damaged: 1\n" in told.out
    assert "images: -\n" in told.out
    assert read_manifest(out).counts("split") == {"test": 2}
    assert "casia_surf" in refusal("data", "import", "nothing", tmp_path, "--out", out)
    assert "no_key" in refusal("data", "import", "folder", tmp_path, "--out", out, "--set", "options.no_key=1")


def test_without_h5py_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    for part in ("CDIT", "RGB"):
        (tmp_path / f"WMCA_preprocessed_{part}").mkdir()
        (tmp_path / f"WMCA_preprocessed_{part}/001_01_000_0_00.hdf5").touch()
    (tmp_path / "PROTOCOL-grandtest.csv").write_text("001_01_000_0_00,train\n")
    sentence = refusal("data", "import", "wmca", tmp_path, "--out", tmp_path / "m.parquet")
    assert sentence == "importing wmca needs the 'hdf5' extra: pip install 'mfas[hdf5]'"


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("oulu_npu", "protocol=3_1", "3_1"),
        ("oulu_npu", "protocol=2", "2"),
        ("cefa", "protocol=4.1", "4.1"),
        ("cefa", "protocol=4@1", "4@1"),
        ("padisi", "fold=0", "0"),
    ],
)
def test_names_that_look_like_numbers_can_be_set_on_the_command_line(name: str, given: str, value: str) -> None:
    config = ImportConfig.resolve(None, [f"options.{given}"], {"name": name, "root": "sets", "out": "m.csv"})
    options = importer_class(name).Options.model_validate(config.options)
    assert getattr(options, given.partition("=")[0]) == value


def test_a_protocol_that_is_not_there_is_refused_by_its_number() -> None:
    with pytest.raises(ValidationError, match=r"expected one of 1\.1, .*got '3'"):
        importer_class("cefa").Options.model_validate({"protocol": 3})


def test_a_list_of_another_modality_is_not_taken_for_colour(tmp_path: Path) -> None:
    for part in ("train", "dev", "test"):
        folder = "depth" if part == "test" else "color"
        (tmp_path / f"CASIA_SURF@p1_image_{part}.txt").write_text(f"Data/real_part/A/real.rssdk/{folder}/1.jpg 0\n")
    importer = importer_class("casia_surf")
    entries = list(importer(tmp_path, importer.Options()).scan())
    assert [type(entry) for entry in entries] == [Item, Item, Skip]
    assert "folder color or profile" in entries[2].reason
