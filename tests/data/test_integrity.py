"""The audit's look at a set as a whole finds each planted fault, by name, and nothing where nothing is planted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mfas.benchmark.audit_run import AuditConfig, audit
from mfas.data.integrity import find_integrity
from mfas.data.manifest import Manifest, write_manifest
from planted import Row, captures

Images = dict[str, np.ndarray]


def splits(row: Row, images: Images, attack: bool) -> None:
    """Train and test by the capture's own number; people are known by native names only."""
    row["split"] = "test" if int(row["capture_id"], 16) % 2 else "train"
    row["subject"] = f"{row['subject']}@{row['split']}"
    row |= {"x_imported": "some_set", "x_native": f"{'fake' if attack else 'real'}/{row['capture_id']}"}
    if attack:
        row["species"] = "mask_paper"
    images["rgb"][..., 0] //= 2


def checks(rows: list[Row], root: Path) -> dict[str, tuple[int, int]]:
    manifest: Manifest = write_manifest(rows, root / "m.parquet")
    return {f.check: (f.count, f.of) for f in find_integrity(manifest, workers=2)}


def planted(then: Callable[[Row, Images, bool], None]) -> Callable[[Row, Images, bool], None]:
    def change(row: Row, images: Images, attack: bool) -> None:
        splits(row, images, attack)
        then(row, images, attack)

    return change


def test_nothing_planted_nothing_found(tmp_path: Path) -> None:
    rows = captures(tmp_path, 30, splits)
    assert checks(rows, tmp_path) == {}


def test_people_in_two_splits_under_their_native_names(tmp_path: Path) -> None:
    rows = captures(tmp_path, 30, planted(lambda row, *_: row.update(x_subject=row["subject"][:2])))
    assert checks(rows, tmp_path) == {"subject_in_two_splits": (7, 7)}


def test_a_file_in_two_splits_and_a_file_for_two_sensors(tmp_path: Path) -> None:
    rows = captures(tmp_path, 30, splits)
    one = next(row for row in rows if row["split"] == "train")
    other = next(row for row in rows if row["split"] == "test")
    (tmp_path / other["rgb"]).write_bytes((tmp_path / one["rgb"]).read_bytes())
    assert checks(rows, tmp_path) == {"file_in_two_splits": (2, 30)}
    rows = captures(tmp_path, 30, splits)
    for row in rows[:3]:
        (tmp_path / row["ir"]).write_bytes((tmp_path / row["depth"]).read_bytes())
    assert checks(rows, tmp_path) == {"same_file_for_two_sensors": (3, 30)}


@pytest.mark.parametrize(("grey", "told"), [(2, False), (20, True)])
def test_colour_images_without_colour_are_told_when_they_are_many(grey: int, told: bool, tmp_path: Path) -> None:
    left = iter(range(30))

    def change(row: Row, images: Images, attack: bool) -> None:
        if next(left) < grey:
            images["rgb"][:] = images["rgb"][..., :1]

    found = checks(captures(tmp_path, 30, planted(change)), tmp_path)
    assert found == ({"rgb_without_chroma": (grey, 30)} if told else {})


def test_labels_against_names_and_against_relief(tmp_path: Path) -> None:
    def swapped(row: Row, images: Images, attack: bool) -> None:
        row["x_native"] = f"{'real' if attack else 'fake'}_part/{row['capture_id']}"

    assert checks(captures(tmp_path, 30, planted(swapped)), tmp_path) == {"label_against_name": (30, 30)}

    def raised(row: Row, images: Images, attack: bool) -> None:
        if attack:
            row["species"] = "print_flat"
            images["depth"][14:28, 14:21] += 200

    assert list(checks(captures(tmp_path, 40, planted(raised)), tmp_path)) == ["label_polarity"]


@pytest.mark.parametrize(("kind", "told"), [("relative_near_bright", True), ("relative_far_bright", False)])
def test_depth_of_the_other_polarity(kind: str, told: bool, tmp_path: Path) -> None:
    def near_is_dark(row: Row, images: Images, attack: bool) -> None:
        row["depth_kind"] = kind
        images["depth"] += 40_000
        images["depth"][14:28, 14:28] -= 30_000

    found = checks(captures(tmp_path, 40, planted(near_is_dark)), tmp_path)
    assert list(found) == (["depth_polarity"] if told else [])


def test_depth_of_another_unit(tmp_path: Path) -> None:
    rows = captures(tmp_path, 30, planted(lambda row, *_: row.update(depth_scale_m=0.01)))
    assert checks(rows, tmp_path) == {"depth_unit": (30, 30)}


def test_the_audit_shows_them_on_its_page(tmp_path: Path) -> None:
    rows = captures(tmp_path, 30, planted(lambda row, *_: row.update(x_subject="anna")))
    write_manifest(rows, tmp_path / "m.parquet")
    result = audit(AuditConfig(manifest=tmp_path / "m.parquet", out=tmp_path / "audit"))
    assert [entry["check"] for entry in result["integrity"]] == ["subject_in_two_splits"]
    assert "1 people are in more than one split" in (tmp_path / "audit/audit.html").read_text()
