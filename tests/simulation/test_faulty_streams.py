"""Streams with faults as files and as settings: what is written, what is refused, what overrides what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from commands import mfas, refusal
from faulty import EVERYTHING, faulty_site
from mfas.data.manifest import Manifest, read_manifest
from mfas.errors import ConfigError
from mfas.simulation import load_site, simulate
from mfas.simulation.faults import Faults


def _bytes(manifest: Manifest) -> dict[str, bytes]:
    cells = [row.path(m) for row in manifest for m in row.modalities]
    return {cell: (manifest.root / cell).read_bytes() for cell in cells}


def test_a_faulty_stream_is_the_same_whatever_the_workers(tmp_path: Path) -> None:
    site = faulty_site("kiosk", **EVERYTHING)
    one = read_manifest(simulate(site, count=30, seed=5, out=tmp_path / "one"))
    two = read_manifest(simulate(site, count=30, seed=5, out=tmp_path / "two", workers=2))
    assert _bytes(one) == _bytes(two)
    assert one.table.equals(two.table)
    assert load_site(tmp_path / "one" / "site.yaml") == site


def test_a_dropped_image_is_an_empty_cell_and_no_file(tmp_path: Path) -> None:
    simulate(load_site("office"), count=6, seed=1, out=tmp_path)
    path = simulate(faulty_site("office", dropout={"rgb": 1.0, "depth": 1.0}), count=6, seed=1, out=tmp_path)
    manifest = read_manifest(path, require_labels=True)
    assert manifest.modality_counts() == {"rgb": 0, "depth": 0, "ir": 6}
    assert not list((tmp_path / "rgb").iterdir()), "what an earlier run left there is gone"
    assert set(manifest.table.column("x_faults").to_pylist()) == {"dropout_rgb,dropout_depth"}
    assert mfas("data", "check", path, "--json").json()["ok"]


def test_no_identity_tells_the_faults(tmp_path: Path) -> None:
    clean = read_manifest(simulate(load_site("kiosk"), count=6, seed=2, out=tmp_path / "a"))
    faulty = read_manifest(simulate(faulty_site("kiosk", **EVERYTHING), count=6, seed=2, out=tmp_path / "b"))
    assert any(faulty.table.column("x_faults").to_pylist())
    assert set(clean.table.column("x_faults").to_pylist()) == {""}
    assert clean.ids(range(6)) == faulty.ids(range(6))


@pytest.mark.parametrize(
    ("faults", "named"),
    [
        ({"darkness": 0.1}, "darkness"),
        ({"dark_ir": 2}, "dark_ir.probability"),
        ({"dark_ir": True}, "dark_ir"),
        ({"dropout": {"thermal": 0.1}}, "thermal"),
        ({"dropout": {"depth": -0.1}}, "dropout.depth"),
        ({"dropout": {"spell_s": [0, 10]}}, "spell_s"),
        ({"dropout": {"spell_s": [20, 10]}}, "spell_s"),
        ({"depth_holes": {"size_px": [-4, 10]}}, "size_px"),
        ({"depth_holes": {"blobs": [0, 2]}}, "blobs"),
        ({"misregistration": {"shift_px": [-1, 2]}}, "shift_px"),
        ({"misregistration": {"scale_percent": [0, 90]}}, "scale_percent"),
        ({"exposure": {"factor": [0.5, 2]}}, "factor"),
        ({"exposure": {"rgb": float("nan")}}, "exposure.rgb"),
        ({"lens_dirt": {"loss": [0, 1.5]}}, "loss"),
    ],
)
def test_wrong_settings_are_refused_by_name(tmp_path: Path, faults: dict[str, Any], named: str) -> None:
    path = tmp_path / "mine.yaml"
    site = load_site("office").model_dump(mode="json")
    path.write_text(yaml.safe_dump({**site, "faults": faults}), encoding="utf-8")
    with pytest.raises(ConfigError, match=named):
        load_site(path)
    path.write_text(yaml.safe_dump(faults), encoding="utf-8")
    arguments = ("data", "simulate", "--site", "office", "--count", 1, "--out", tmp_path / "out")
    assert named in refusal(*arguments, "--faults", path)
    assert not (tmp_path / "out").exists()


def test_a_bare_number_is_the_probability() -> None:
    faults = Faults.model_validate({"dark_ir": 0.25, "exposure": 0.5})
    assert faults.dark_ir.probability == 0.25
    assert (faults.exposure.rgb, faults.exposure.ir) == (0.5, 0.5)


def test_the_command_lays_a_file_and_then_single_keys_over_the_site(tmp_path: Path) -> None:
    site, file = tmp_path / "site.yaml", tmp_path / "faults.yaml"
    values = load_site("office").model_dump(mode="json", exclude={"faults"})
    site.write_text(yaml.safe_dump({**values, "faults": {"depth_holes": {"probability": 0.5, "size_px": [2, 3]}}}))
    file.write_text("faults:\n  dark_ir: {probability: 0.1, residual: 0.2}\n  depth_holes: 0.75\n")
    mfas(
        "data", "simulate", "--site", site, "--faults", file, "--set", "faults.dark_ir=0.9", "--set",
        "faults.exposure.ir=1.0", "--count", 3, "--out", tmp_path / "out", "--json",
    ).json()  # fmt: skip
    used = load_site(tmp_path / "out" / "site.yaml").faults
    assert used.depth_holes.probability == 0.75
    assert used.depth_holes.size_px == (2, 3)
    assert (used.dark_ir.probability, used.dark_ir.residual) == (0.9, 0.2)
    names = read_manifest(tmp_path / "out" / "manifest.parquet").table.column("x_faults").to_pylist()
    assert all("exposure_ir" in name for name in names)


def test_a_faults_file_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text("faults: 3\n")
    arguments = ("data", "simulate", "--site", "office", "--count", 1, "--out", tmp_path / "out")
    assert "mapping" in refusal(*arguments, "--faults", file)
    assert "none at" in refusal(*arguments, "--faults", tmp_path / "absent.yaml")
