"""The audit finds planted shortcuts by name, keeps physical cues apart, and says why a figure is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfas.benchmark.audit_run import AuditConfig, audit
from mfas.benchmark.audit_text import brief
from mfas.data.manifest import write_manifest
from mfas.errors import InputError
from planted import Change, Row, black_border, captures, flat, larger_file, names, no_depth


def run(rows: list[Row], root: Path, name: str = "m.parquet", **given: Any) -> dict[str, Any]:
    write_manifest(rows, root / name)
    return audit(AuditConfig(manifest=root / name, out=root / "audit", workers=1, **given))


def found(result: dict[str, Any]) -> dict[str, float]:
    return {entry["statistic"]: entry["auc"] for entry in result["findings"]}


def cell(result: dict[str, Any], name: str, site: str = "lab") -> dict[str, Any]:
    (item,) = (item for item in result["statistics"] if item["name"] == name)
    return dict(item["sites"][site])


def test_nothing_planted_nothing_found(tmp_path: Path) -> None:
    result = run(captures(tmp_path, 60), tmp_path)
    assert result["findings"] == []
    assert "the nearest is" in result["notes"][0]
    assert result["unreadable"] == {"count": 0, "files": []}


@pytest.mark.parametrize(
    ("change", "name", "higher"),
    [
        (black_border, "rgb_dark_border", "attack"),
        (larger_file, "ir_bytes", "attack"),
        (no_depth, "depth_present", "bona_fide"),
        (names, "capture_order", "attack"),
    ],
)
def test_a_planted_shortcut_is_found_by_name(change: Change, name: str, higher: str, tmp_path: Path) -> None:
    result = run(captures(tmp_path, 30, change), tmp_path, min_per_class=5)
    assert found(result)[name] == 1.0
    (entry,) = (entry for entry in result["findings"] if entry["statistic"] == name)
    assert entry["higher"] == higher
    assert entry["sentence"].startswith(f"lab: {name} (")
    assert "AUC of 1.00" in entry["sentence"]


def test_a_physical_cue_is_reported_and_no_finding(tmp_path: Path) -> None:
    result = run(captures(tmp_path, 30, flat), tmp_path, min_per_class=5)
    assert cell(result, "depth_relief")["auc"] == 1.0
    assert cell(result, "depth_relief")["higher"] == "bona_fide"
    assert not {"depth_relief", "depth_plane"} & set(found(result))


def test_the_limit_is_a_setting(tmp_path: Path) -> None:
    rows = captures(tmp_path, 30, black_border)
    assert found(run(rows, tmp_path, min_per_class=5, limit=1.0)) == {}
    low = run(rows, tmp_path, min_per_class=5, limit=0.6)
    assert low["limit"] == 0.6
    assert len(low["findings"]) > 1
    assert [e["auc"] for e in low["findings"]] == sorted((e["auc"] for e in low["findings"]), reverse=True)


def test_one_species_only_is_told_apart_from_findings(tmp_path: Path) -> None:
    def change(row: Row, images: dict[str, np.ndarray], attack: bool) -> None:
        number = int(row["capture_id"], 16) % 2
        if attack:
            row["species"] = "replay_lcd" if number else "print_flat"
            if number:
                images["rgb"][:1] = 0

    result = run(captures(tmp_path, 60, change), tmp_path, min_per_class=5)
    assert result["findings"] == []
    assert ("rgb_dark_border", "replay_lcd") in {(e["statistic"], e["species"]) for e in result["by_species"]}
    species = cell(result, "rgb_dark_border")["species"]
    assert species["replay_lcd"]["auc"] == 1.0
    assert species["print_flat"]["reason"] == "constant"


def test_sites_are_judged_apart(tmp_path: Path) -> None:
    rows = captures(tmp_path, 40, black_border)
    for i, row in enumerate(rows):
        row["site"] = "door" if i % 2 else "lab"
    result = run(rows, tmp_path, min_per_class=5)
    assert {e["site"] for e in result["findings"]} == {"door", "lab"}
    assert [row["name"] for row in result["sensors"]] == ["door", "lab"]


def test_a_null_has_a_reason(tmp_path: Path) -> None:
    result = run(captures(tmp_path, 24), tmp_path, min_per_class=5)
    assert cell(result, "rgb_width")["reason"] == "constant"
    assert result["constants"]["lab"]["rgb_width"] == 42
    assert cell(result, "session_order")["reason"] == "not measured"
    few = run(captures(tmp_path, 24), tmp_path, min_per_class=20)
    assert cell(few, "rgb_bytes")["auc"] is None
    assert cell(few, "rgb_bytes")["reason"].startswith("fewer than 20 bona fide presentations")


def test_the_frames_of_a_clip_count_as_one_presentation(tmp_path: Path) -> None:
    rows = captures(tmp_path, 24)
    for row in rows:
        row["presentation_id"] = row["label"]
    result = run(rows, tmp_path)
    assert cell(result, "rgb_bytes")["reason"] == "fewer than 10 bona fide presentations with it: 1"
    assert cell(result, "rgb_bytes")["n_bona_fide"] > 1


def test_without_labels_only_sensors_and_constants(tmp_path: Path) -> None:
    rows = [row | {"label": "", "species": ""} for row in captures(tmp_path, 12, black_border)]
    result = run(rows, tmp_path, min_per_class=2)
    assert result["findings"] == []
    assert all(c["auc"] is None for item in result["statistics"] for c in item["sites"].values())
    assert result["notes"] == [
        "No capture has a label: only the sensor table and the constants are given, over all captures."
    ]
    (site,) = result["sensors"]
    assert (site["captures"], site["over"]) == (12, "all captures, there are no labels")
    assert site["figures"]["distance_mm"]["median"] == pytest.approx(610, abs=5)
    shown = brief(result)
    assert "auc" not in shown
    assert shown["findings"] == "none, for no AUC can be given"
    assert shown["constants"]["lab"]["rgb_width"] == 42
    assert "No AUC can be given" in (tmp_path / "audit" / "audit.html").read_text("utf-8")


def test_one_class_is_said(tmp_path: Path) -> None:
    rows = [row for row in captures(tmp_path, 24) if row["label"] == "bona_fide"]
    result = run(rows, tmp_path, min_per_class=2)
    assert result["notes"][0] == "lab has no attack captures: no AUC can be given there."
    assert cell(result, "rgb_bytes")["reason"] == "fewer than 2 attack presentations with it: 0"
    assert result["sensors"][0]["captures"] == len(rows)


def test_some_labels_are_said(tmp_path: Path) -> None:
    rows = captures(tmp_path, 24, black_border)
    for row in rows[:4]:
        row |= {"label": "", "species": ""}
    result = run(rows, tmp_path, min_per_class=5)
    assert result["notes"][0] == "4 captures without a label take no part in the AUCs."
    assert found(result)["rgb_dark_border"] == 1.0


def test_captures_without_a_box_are_said(tmp_path: Path) -> None:
    rows = [row | {"box": ""} for row in captures(tmp_path, 24)]
    result = run(rows, tmp_path, min_per_class=2)
    assert result["notes"][0].startswith("24 captures have no face box")
    assert cell(result, "depth_distance")["reason"] == "not measured"
    assert cell(result, "rgb_sharpness")["auc"] is not None


def test_unreadable_files_are_counted_and_named(tmp_path: Path) -> None:
    rows = captures(tmp_path, 24)
    (tmp_path / rows[3]["rgb"]).write_bytes(b"")
    (tmp_path / rows[5]["ir"]).unlink()
    result = run(rows, tmp_path, min_per_class=2)
    assert result["unreadable"]["count"] == 2
    assert "row 4, column rgb" in result["unreadable"]["files"][0]
    assert "5_ir.png" in result["unreadable"]["files"][1]
    assert "Files that cannot be read" in (tmp_path / "audit" / "audit.html").read_text("utf-8")


def test_csv_and_parquet_give_the_same_answer(tmp_path: Path) -> None:
    rows = captures(tmp_path, 24)
    answers = [run(rows, tmp_path, name, min_per_class=2) for name in ("m.parquet", "m.csv")]
    for answer in answers:
        answer.pop("manifest")
    assert answers[0] == answers[1]


def test_files_written_and_the_page_escapes_names(tmp_path: Path) -> None:
    rows = [row | {"site": "<lab>"} for row in captures(tmp_path, 30, black_border)]
    result = run(rows, tmp_path, min_per_class=5)
    out = tmp_path / "audit"
    assert {p.name for p in out.iterdir()} == {"audit.json", "audit.html", "config.json"}
    assert json.loads((out / "audit.json").read_text()) == result
    assert json.loads((out / "config.json").read_text())["config"]["min_per_class"] == 5
    page = (out / "audit.html").read_text("utf-8")
    assert "&lt;lab&gt;" in page
    assert "<lab>" not in page
    assert page.index("rgb_dark_border") < page.index("Kinect v2")
    assert "http" not in page
    assert "src=" not in page


def test_an_empty_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("rgb,label\n")
    with pytest.raises(InputError, match="expected captures"):
        audit(AuditConfig(manifest=tmp_path / "m.csv", out=tmp_path / "o"))
