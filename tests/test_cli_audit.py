"""`mfas data audit` on the command line."""

from __future__ import annotations

from pathlib import Path

from commands import mfas, refusal
from mfas.data.manifest import write_manifest
from planted import black_border, captures


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
