"""Manifests: defaults, both file formats, and every rule that a row can break."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from mfas.core import Label, Modality
from mfas.data._manifest_rules import split_of
from mfas.data.manifest import COLUMNS, Manifest, read_manifest, write_manifest
from mfas.errors import InputError, ManifestError

TWO = [
    {"rgb": "a.png", "label": "bona_fide", "subject": "ann"},
    {"rgb": "b.png", "depth": "b_d.png", "label": "attack", "subject": "bob"},
]


def refused(rows: list[dict[str, Any]], **options: bool) -> str:
    with pytest.raises(ManifestError) as caught:
        Manifest.from_rows(rows, Path(), **options)
    return str(caught.value)


def test_paths_and_label_are_enough() -> None:
    manifest = Manifest.from_rows([{"rgb": "a.png", "label": "attack"}, {"ir": "b.png"}], Path("/base"))
    first, second = manifest.row(0), manifest.row(1)
    assert first.presentation_id == first.capture_id != second.capture_id
    assert len(first.capture_id) == 16
    assert (first.subject, first.site, first.species, first.label) == ("", "default", "unknown", Label.ATTACK)
    assert (second.label, second.species, second.modalities) == (None, "", (Modality.IR,))
    assert first.split == split_of(first.presentation_id)
    assert (first.depth_scale_m, first.depth_kind, first.frame) == (0.001, "metric", 0)
    assert [first.timestamp, second.timestamp] == [0.0, 1.0]
    assert manifest.resolve(first.rgb) == Path("/base/a.png")
    assert manifest.resolve("/elsewhere/a.png") == Path("/elsewhere/a.png")


def test_the_default_capture_id_depends_on_the_paths_alone() -> None:
    one = Manifest.from_rows([{"rgb": "a.png", "label": "attack"}], Path()).row(0)
    two = Manifest.from_rows([{"rgb": "a.png", "label": "bona_fide", "site": "x"}], Path()).row(0)
    other = Manifest.from_rows([{"ir": "a.png", "label": "attack"}], Path()).row(0)
    assert one.capture_id == two.capture_id != other.capture_id


def test_default_splits_are_60_20_20_and_follow_the_subject() -> None:
    rows = [{"rgb": f"{i}.png", "subject": f"person {i % 2000}"} for i in range(4000)]
    manifest = Manifest.from_rows(rows, Path())
    share = {name: count / 4000 for name, count in manifest.counts("split").items()}
    assert share["train"] == pytest.approx(0.6, abs=0.05)
    assert share["validation"] == pytest.approx(0.2, abs=0.04)
    assert np.array_equal(manifest.column("split")[:2000], manifest.column("split")[2000:])


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_written_and_read_back_is_the_same_and_bytes_repeat(tmp_path: Path, suffix: str) -> None:
    rows = [
        *TWO,
        {
            "ir": "c,comma.png",
            "box": "1,2.5,30,40",
            "timestamp": 2.25,
            "depth_scale_m": 0.0001,
            "x_note": 'hé "quoted"',
        },
    ]
    rows = [row | {"timestamp": i * 0.1} for i, row in enumerate(rows)]
    written = write_manifest(rows, tmp_path / f"m.{suffix}")
    again = read_manifest(tmp_path / f"m.{suffix}")
    assert again.table.select(list(COLUMNS)).equals(written.table.select(list(COLUMNS)))
    assert again.row(2).box == "1,2.5,30,40"
    assert again.row(2).ir == "c,comma.png"
    assert again.table.column("x_note")[2].as_py() == 'hé "quoted"'
    before = (tmp_path / f"m.{suffix}").read_bytes()
    write_manifest(again, tmp_path / f"m.{suffix}")
    assert (tmp_path / f"m.{suffix}").read_bytes() == before


def test_csv_and_parquet_give_equal_manifests(tmp_path: Path) -> None:
    csv = write_manifest(TWO, tmp_path / "m.csv")
    write_manifest(csv, tmp_path / "m.parquet")
    assert read_manifest(tmp_path / "m.csv").table.equals(read_manifest(tmp_path / "m.parquet").table)


def test_a_hand_written_csv_with_byte_order_mark_spaces_and_numbers(tmp_path: Path) -> None:
    text = "﻿rgb, label ,subject,timestamp\n a.png ,attack,12,+1.5\nb.png,bona_fide,13,.5\n"
    (tmp_path / "m.csv").write_text(text, encoding="utf-8")
    manifest = read_manifest(tmp_path / "m.csv")
    assert manifest.row(0).rgb == "a.png"
    assert manifest.subjects() == ["12", "13"]
    assert [row.rgb for row in manifest.in_arrival_order()] == ["b.png", "a.png"]


def test_writing_elsewhere_keeps_pointing_at_the_same_files(tmp_path: Path) -> None:
    manifest = write_manifest(TWO, tmp_path / "one" / "m.csv")
    moved = write_manifest(manifest, tmp_path / "two" / "deep" / "m.parquet")
    for before, after in zip(manifest, moved, strict=True):
        assert moved.resolve(after.rgb).resolve() == manifest.resolve(before.rgb).resolve()
    assert moved.row(0).depth == ""


def test_filter_counts_order_and_identities() -> None:
    rows = [
        {"rgb": f"{i}.png", "label": "attack" if i % 2 else "bona_fide", "split": "test" if i < 4 else "train",
         "site": "gate" if i % 3 else "kiosk", "timestamp": -float(i // 2), "subject": f"s{i}"}
        for i in range(6)
    ]  # fmt: skip
    manifest = Manifest.from_rows(rows, Path())
    assert [r.index for r in manifest] == list(range(6))
    assert len(manifest.filter(split="test", labels=[Label.ATTACK])) == 2
    assert len(manifest.filter(sites=["kiosk"])) == 2
    assert manifest.counts("split") == {"test": 4, "train": 2}
    assert manifest.modality_counts() == {"rgb": 6, "depth": 0, "ir": 0}
    assert [r.rgb for r in manifest.in_arrival_order()] == ["4.png", "5.png", "2.png", "3.png", "0.png", "1.png"]
    ids = manifest.ids([2, 1])
    assert ids.subject == ("s2", "s1")
    assert not any("attack" in str(v) or "bona" in str(v) for v in (ids.capture_id, ids.presentation_id, ids.session))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"capture_id": "same"}, "row 2, column capture_id: 'same' already stands in row 1"),
        ({"label": "spoof"}, "row 2, column label: expected one of bona_fide, attack, got 'spoof'"),
        ({"species": "hologram"}, "row 2, column species: expected one of print_flat"),
        ({"split": "dev"}, "row 2, column split: expected one of train, validation, test, got 'dev'"),
        ({"rgb": "", "depth": ""}, "row 2, column rgb: expected an image in rgb, depth or ir, got none"),
        ({"box": "1,2,3"}, "row 2, column box: expected x,y,w,h in pixels"),
        ({"box": "1,2,0,4"}, "row 2, column box:"),
        ({"box": "1,2,-3,4"}, "row 2, column box:"),
        ({"box": "full face"}, "row 2, column box:"),
        ({"depth_scale_m": 0}, "row 2, column depth_scale_m: expected metres per depth unit above zero, got 0"),
        ({"depth_scale_m": -0.001}, "row 2, column depth_scale_m"),
        ({"depth_scale_m": "mm"}, "row 2, column depth_scale_m: expected a number, got 'mm'"),
        ({"depth_kind": "inverse"}, "row 2, column depth_kind: expected one of metric"),
        ({"timestamp": "noon"}, "row 2, column timestamp: expected a number, got 'noon'"),
    ],
)  # fmt: skip
def test_a_bad_cell_names_row_and_column(change: dict[str, Any], expected: str) -> None:
    rows = [TWO[0] | {"capture_id": "same"} if "capture_id" in change else dict(TWO[0]), TWO[1] | change]
    assert expected in refused(rows)


def test_species_of_a_bona_fide_is_refused() -> None:
    assert "row 1, column species: expected an empty cell" in refused([TWO[0] | {"species": "print_flat"}])


def test_a_subject_in_two_splits() -> None:
    rows = [{"rgb": "a.png", "subject": "ann", "split": "train"}, {"rgb": "b.png", "subject": "ann", "split": "test"}]
    assert "row 2, column split: subject 'ann' is 'test' here and 'train' above" in refused(rows)
    nobody = [row | {"subject": ""} for row in rows]
    assert len(Manifest.from_rows(nobody, Path())) == 2


def test_a_presentation_with_two_labels() -> None:
    rows = [row | {"presentation_id": "p", "subject": ""} for row in TWO]
    assert "presentation 'p' is 'attack' here" in refused(rows)


def test_labels_are_asked_for_only_where_needed() -> None:
    rows = [{"rgb": "a.png"}]
    assert Manifest.from_rows(rows, Path()).row(0).label is None
    assert "row 1, column label: expected bona_fide or attack, got an empty cell" in refused(rows, require_labels=True)


def test_timestamps_in_all_rows_or_none() -> None:
    assert "row 2, column timestamp" in refused([TWO[0] | {"timestamp": 1.0}, TWO[1]])


def test_an_unknown_column_is_named() -> None:
    assert "'labell'" in refused([{"rgb": "a.png", "labell": "attack"}])


def test_files_that_are_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="not found"):
        read_manifest(tmp_path / "none.csv")
    (tmp_path / "m.txt").write_text("rgb\n")
    with pytest.raises(ManifestError, match=r"named \.parquet or \.csv"):
        read_manifest(tmp_path / "m.txt")
    (tmp_path / "m.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(ManifestError, match="not a readable manifest"):
        read_manifest(tmp_path / "m.parquet")
    (tmp_path / "ragged.csv").write_text("rgb,label\na.png,attack,extra\n")
    with pytest.raises(ManifestError, match="not a readable manifest"):
        read_manifest(tmp_path / "ragged.csv")
    (tmp_path / "twice.csv").write_text("rgb,rgb\na.png,b.png\n")
    with pytest.raises(ManifestError, match="'rgb' stands twice"):
        read_manifest(tmp_path / "twice.csv")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_an_empty_manifest_is_a_manifest(tmp_path: Path, suffix: str) -> None:
    empty = Manifest.from_rows([*TWO], Path()).take(np.zeros(0, np.int64))
    write_manifest(empty, tmp_path / f"m.{suffix}")
    assert len(read_manifest(tmp_path / f"m.{suffix}")) == 0


def test_many_rows_are_read_by_column_and_not_by_row(tmp_path: Path) -> None:
    count = 200_000
    number = pa.array(np.arange(count)).cast(pa.string())
    table = pa.table(
        {
            "capture_id": pc.binary_join_element_wise("c", number, "-"),
            "subject": pc.binary_join_element_wise("s", pa.array(np.arange(count) // 500).cast(pa.string()), "-"),
            "rgb": pc.binary_join_element_wise(number, "rgb.png", "_"),
            "label": ["attack", "attack"] * (count // 2),
            "box": ["1,2,30,40"] * count,
        }
    )
    pq.write_table(table, tmp_path / "m.parquet")
    start = time.process_time()
    manifest = read_manifest(tmp_path / "m.parquet", require_labels=True)
    assert time.process_time() - start < 2.0
    assert len(manifest) == count


def test_a_column_of_lists_is_refused() -> None:
    with pytest.raises(InputError, match="column 'box': expected text, got list"):
        Manifest.from_table(pa.table({"rgb": ["a.png"], "box": [[1, 2, 3, 4]]}), Path())


def test_the_data_modules_import_no_torch() -> None:
    names = "manifest, capture, scores, check, cropping, preprocess"
    code = f"import sys; from mfas.data import {names}; sys.exit(any(m in sys.modules for m in ('torch', 'numba')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
