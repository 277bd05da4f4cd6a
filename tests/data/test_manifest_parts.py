"""A manifest read in parts is the manifest, and is checked as strictly."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mfas.data import manifest_parts as module
from mfas.data._manifest_rules import COLUMNS
from mfas.data.manifest import read_manifest
from mfas.data.manifest_parts import count_checked, manifest_parts
from mfas.errors import ManifestError, ScoreError


def rows(count: int) -> list[dict[str, object]]:
    chance = random.Random(count)
    made: list[dict[str, object]] = []
    for i in range(count):
        attack = i // 2 % 2 == 1
        label = {"label": "attack" if attack else "bona_fide", "species": "mask_rigid" if attack else ""}
        named = {"presentation_id": f"p{i // 2}", "subject": f"s{i // 4}" if i // 4 % 3 else ""}
        made.append({"rgb": f"{i}.png", "depth": f"{i}d.png" if chance.random() < 0.5 else ""} | label | named)
    return made


def write(made: list[dict[str, object]], path: Path) -> Path:
    if path.suffix == ".csv":
        names = list(made[0])
        lines = [",".join(names), *(",".join(str(row.get(n, "")) for n in names) for row in made)]
        path.write_text("\n".join(lines) + "\n")
    else:
        pq.write_table(pa.Table.from_pylist(made), path, row_group_size=7)
    return path


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("size", [1, 5, 9, 50, 60])
def test_the_parts_together_are_the_manifest(
    suffix: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BLOCK", 9)
    path = write(rows(50), tmp_path / f"m.{suffix}")
    whole = read_manifest(path)
    parts = list(manifest_parts(path, size))
    assert [len(part) for part in parts] == [min(size, 50 - start) for start in range(0, 50, size)]
    assert count_checked(path) == 50
    joined = pa.concat_tables([part.table for part in parts])
    for name in COLUMNS:
        if name != "timestamp":
            assert joined.column(name).to_pylist() == whole.table.column(name).to_pylist(), name
    assert {part.root for part in parts} == {whole.root}


FAULTS = {
    "label": (40, "label", "maybe"),
    "capture twice": (40, "capture_id", "c1"),
    "no image": (40, "rgb", ""),
    "presentation with two labels": (40, "presentation_id", "p1"),
    "subject in two splits": (40, "subject", "s1"),
    "time in some rows only": (40, "timestamp", ""),
    "unknown column": (40, "colour", "red"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_told_in_the_same_words(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 8)
    made = [row | {"capture_id": f"c{i}", "depth": "", "timestamp": float(i)} for i, row in enumerate(rows(50))]
    made = [row | {"split": "test" if i >= 40 else "train"} for i, row in enumerate(made)]
    at, name, cell = FAULTS[fault]
    sound = write(made, tmp_path / "sound.csv")
    assert count_checked(sound) == 50
    if name not in made[0]:
        made[0][name] = ""
    made[at][name] = cell
    path = write(made, tmp_path / "m.csv")
    with pytest.raises(ManifestError) as whole:
        read_manifest(path)
    with pytest.raises(ManifestError) as parts:
        count_checked(path)
    assert str(parts.value) == str(whole.value)


def test_a_presentation_of_two_people_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 8)
    made = [row | {"split": "test"} for row in rows(50)]
    made[41]["subject"] = "somebody"
    with pytest.raises(ScoreError, match="presentation 'p20' has more than one subject"):
        count_checked(write(made, tmp_path / "m.parquet"))


def test_parts_keep_nothing_else_in_memory(tmp_path: Path) -> None:
    path = write(rows(4000), tmp_path / "m.parquet")
    (first, *_) = manifest_parts(path, 10)
    whole = read_manifest(path).table
    assert first.table.get_total_buffer_size() < whole.get_total_buffer_size() / 100


def test_a_cut_file_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = write(rows(50), tmp_path / "m.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ManifestError, match="not a readable manifest"):
        count_checked(path)
