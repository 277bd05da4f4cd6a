"""A paper's table, end to end: native trees of four sets, imported, trained on, scored, beside published figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands import mfas, refusal
from data.trees import mmdg
from data.trees._faces import Faces
from mfas.data.manifest import read_manifest

SMALL = (
    "models={mfas_danet: {preprocess: {size: 32}, architecture: {backbone_options: {width: 16}}, batch_size: 8}}",
    "training.epochs=1",
    "stream={batch_size: 4}",
)


@pytest.fixture(scope="module")
def data_root(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("h5py")
    root = tmp_path_factory.mktemp("sets")
    faces = Faces(site)
    for case in ("C", "P", "S", "W"):
        mmdg.write(case, root, faces, people=3)
    return root


def run(data_root: Path, out: Path, config: str, *more: str) -> dict:
    sets = [part for text in (*SMALL, *more) for part in ("--set", text)]
    mfas("benchmark", "--config", config, "--data-root", data_root, "--out", out, *sets, "--json").json()
    return json.loads((out / "protocol.json").read_text())


def test_protocol_1_gives_its_table_beside_published_figures(data_root: Path, tmp_path: Path) -> None:
    result = run(data_root, tmp_path, "protocols/mmdg_p1.yaml")
    assert result["failed"] == []
    rows = {(row["case"], row["method"]): row for row in result["measured"]}
    assert len(rows) == 4 * 2
    for (case, _), row in rows.items():
        assert row["target"] == case[-1]
        assert row["unit"] == "frame"
        assert row["captures"] == 9  # the test list alone
        assert 0 <= row["hter_eer"] <= 1
        assert 0 <= row["auc"] <= 1
    page = (tmp_path / "protocol.md").read_text()
    measured, *printed = page.split("## Published, not measured here")
    assert "| mfas_danet | source |" in measured
    assert "MMDG" not in measured.split("## Measured here")[1]
    assert "| MMDG | 12.79 / 93.83 | 15.32 / 92.86 | 18.95 / 88.64 | 29.93 / 76.52 | 19.25 / 87.96 |" in printed[0]
    assert "Source: PA-FAS" in printed[0]
    assert "| C | validation | 9 | 2401 | 0 |" in measured
    target = read_manifest(tmp_path / "manifests/targets/CPS_W.parquet")
    assert target.counts("split") == {"test": 9, "train": 9}
    assert set(read_manifest(tmp_path / "manifests/C.parquet").counts("site")) == {"C"}
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.parquet")}
    assert run(data_root, tmp_path, "protocols/mmdg_p1.yaml")["measured"] == result["measured"]
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.parquet")} == before


def test_missing_patterns_become_columns_and_cases_can_be_chosen(data_root: Path, tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text("protocol: mmdg_p2\ncases: [PSW_C]\nmethods: {source: {}}\n")
    result = run(data_root, tmp_path / "out", str(own))
    assert [row["missing"] for row in result["measured"]] == ["depth", "ir", "depth,ir"]
    page = (tmp_path / "out/protocol.md").read_text()
    assert page.count("| without depth | without ir | without depth,ir | mean |") == 2


def test_two_targets_are_scored_as_one(data_root: Path, tmp_path: Path) -> None:
    result = run(data_root, tmp_path, "protocols/mmdg_p3.yaml", "cases=[CW_PS]", "methods={source: {}}")
    assert [(row["target"], row["captures"]) for row in result["measured"]] == [("PS", 18)]


def test_wrong_protocols_are_refused(data_root: Path) -> None:
    assert "mmdg_p1" in refusal("benchmark", "--config", "protocols/mmdg_p9.yaml", "--data-root", data_root)
    assert "--config" in refusal("benchmark", "--data-root", data_root)
    wrong = ("--config", "protocols/mmdg_p1.yaml", "--data-root", data_root, "--set", "cases=[XYZ]")
    assert "CPS_W" in refusal("benchmark", *wrong)
