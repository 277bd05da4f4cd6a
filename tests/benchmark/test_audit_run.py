"""The audit finds planted shortcuts by name, keeps physical cues apart, and says why a figure is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from commands import mfas, refusal
from mfas.benchmark.audit_run import AuditConfig, audit
from mfas.benchmark.audit_text import brief
from mfas.benchmark.separation import Groups, separate
from mfas.data.manifest import Manifest, write_manifest
from mfas.errors import InputError

Row = dict[str, Any]
Change = Callable[[Row, dict[str, np.ndarray], bool], None]


def captures(root: Path, count: int = 24, change: Change | None = None) -> list[Row]:
    """Rows of small captures on disk in which nothing but ``change(row, images, attack)`` tells the classes apart."""
    rows: list[Row] = []
    for i in range(count):
        rng = np.random.default_rng(i)
        attack = bool(rng.permutation(2)[0]) if i >= 2 else bool(i)
        images = {
            "rgb": rng.integers(60, 200, (42, 42, 3), dtype=np.uint8),
            "depth": rng.integers(580, 640, (42, 42)).astype(np.uint16),
            "ir": rng.integers(50, 90, (42, 42)).astype(np.uint8),
        }
        row: Row = {"capture_id": f"{rng.integers(1 << 30):08x}", "box": "full", "site": "lab", "subject": f"s{i % 7}"}
        row |= {"label": "attack" if attack else "bona_fide", "species": "print_flat" if attack else ""}
        row |= {"split": "train"}
        if change is not None:
            change(row, images, attack)
        for name, image in images.items():
            if name not in row:
                row[name] = f"{i}_{name}.png"
                cv2.imwrite(str(root / row[name]), image)
        rows.append(row)
    return rows


def run(rows: list[Row], root: Path, name: str = "m.parquet", **given: Any) -> dict[str, Any]:
    write_manifest(rows, root / name)
    return audit(AuditConfig(manifest=root / name, out=root / "audit", workers=1, **given))


def found(result: dict[str, Any]) -> dict[str, float]:
    return {entry["statistic"]: entry["auc"] for entry in result["findings"]}


def cell(result: dict[str, Any], name: str, site: str = "lab") -> dict[str, Any]:
    (item,) = (item for item in result["statistics"] if item["name"] == name)
    return dict(item["sites"][site])


def black_border(row: Row, images: dict[str, np.ndarray], attack: bool) -> None:
    if attack:
        images["rgb"][:1] = images["rgb"][-1:] = 0


def larger_file(row: Row, images: dict[str, np.ndarray], attack: bool) -> None:
    if not attack:
        images["ir"] //= 16


def flat(row: Row, images: dict[str, np.ndarray], attack: bool) -> None:
    """Attacks are planes, bona fide are not: a cue with a cause."""
    if not attack:
        images["depth"][14:28, 14:21] += 60


def no_depth(row: Row, images: dict[str, np.ndarray], attack: bool) -> None:
    if attack:
        row["depth"] = ""


def names(row: Row, images: dict[str, np.ndarray], attack: bool) -> None:
    row["capture_id"] = ("spoof" if attack else "live") + row["capture_id"]


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


def test_auc_is_that_of_scikit_learn_ties_included() -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(3)
    values = rng.integers(0, 6, 50).astype(np.float64) - 3e6
    values[:4] = np.nan
    rows = [{"rgb": f"{i}.png", "label": "attack" if i % 3 else "bona_fide"} for i in range(50)]
    (groups,) = Groups.of(Manifest.from_rows(rows, Path()))
    area = roc_auc_score(groups.bona_fide[4:], values[4:])
    got = separate(values, groups, 5)
    assert got.auc == pytest.approx(max(area, 1 - area))
    assert got.higher == ("bona_fide" if area > 0.5 else "attack")
    assert got.n_bona_fide + got.n_attack == 46


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


def test_on_the_command_line(tmp_path: Path) -> None:
    write_manifest(captures(tmp_path, 30, black_border), tmp_path / "m.csv")
    argv = ("data", "audit", tmp_path / "m.csv", "--set", "min_per_class=5")
    shown = mfas(*argv)
    assert shown.code == 0
    assert shown.out.startswith(("findings: lab: ", "findings:\n  lab: "))
    assert "rgb_dark_border" in shown.out.partition("captures:")[0]
    assert "Kinect v2" in shown.out
    assert (tmp_path / "m.audit" / "audit.html").is_file()
    assert mfas(*argv, "--out", tmp_path / "o", "--json").json()["findings"][0]["site"] == "lab"
    assert (tmp_path / "o" / "audit.json").is_file()


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    assert "not found" in refusal("data", "audit", tmp_path / "none.parquet")
    write_manifest(captures(tmp_path, 4), tmp_path / "m.csv")
    assert "'limit'" in refusal("data", "audit", tmp_path / "m.csv", "--set", "limit=2")
    assert "unknown key 'colour'" in refusal("data", "audit", tmp_path / "m.csv", "--set", "colour=red")
    (tmp_path / "file").write_text("")
    assert "got a file" in refusal("data", "audit", tmp_path / "m.csv", "--out", tmp_path / "file")
