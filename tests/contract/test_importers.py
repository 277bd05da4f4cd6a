"""One suite over every registered importer, on trees in the layout of the real sets, filled with simulated captures."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv as pa_csv
import pytest

from data.trees._faces import MARK, Faces, Tree
from mfas.config import parse
from mfas.core import Modality
from mfas.data.box import Box
from mfas.data.check import check_manifest
from mfas.data.images import read_ir, read_raw_depth, read_rgb
from mfas.data.importers import _videos, registry, run
from mfas.data.importers.contract import Importer, Item
from mfas.data.manifest import Manifest, read_manifest
from mfas.errors import InputError

CASES = [
    pytest.param(name, case, id=f"{name}-{case}")
    for name in registry.names()
    for case in importlib.import_module(f"data.trees.{name}").CASES
]


@pytest.fixture(autouse=True)
def quick_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search for faces has its own tests and takes its time; here a face is where there is light."""

    def middle(image: np.ndarray, yunet: Path | None = None) -> Box | None:
        height, width = image.shape[:2]
        return Box(width * 0.25, height * 0.1, width * 0.5, height * 0.8) if image.max() > 40 else None

    monkeypatch.setattr(_videos, "find_face", middle)


@pytest.fixture(scope="session")
def faces(site: Path) -> Faces:
    return Faces(site)


@pytest.fixture(scope="session")
def planted(faces: Faces, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Tree]:
    """Trees as they were written; not to be changed."""
    made: dict[tuple[str, str], Tree] = {}

    def plant(name: str, case: str) -> Tree:
        if (name, case) not in made:
            root = tmp_path_factory.mktemp(f"{name}_{case}") / "set"
            root.mkdir()
            made[name, case] = importlib.import_module(f"data.trees.{name}").write(case, root, faces)
        return made[name, case]

    return plant


def take_in(name: str, tree: Tree, out: Path, progress: Any = None, **more: Any) -> tuple[dict[str, Any], Manifest]:
    values = {"name": name, "root": tree.root, "out": out, "options": tree.options, "workers": 2, **more}
    result = run.import_set(parse(run.ImportConfig, values, "test"), progress)
    return result, read_manifest(out)


def files_below(root: Path) -> dict[str, int]:
    base = root if root.is_dir() else root.parent
    return {str(p): p.stat().st_mtime_ns for p in base.rglob("*") if p.is_file()}


def skipped(out: Path) -> set[tuple[str, str, int]]:
    table = pa_csv.read_csv(out.with_name(f"{out.stem}.skipped.csv"))
    return {(row["kind"], row["file"], row["line"]) for row in table.to_pylist()}


@pytest.mark.parametrize(("name", "case"), CASES)
def test_a_tree_becomes_its_manifest(name: str, case: str, planted: Any, tmp_path: Path) -> None:
    tree = planted(name, case)
    before = files_below(tree.root)
    result, manifest = take_in(name, tree, tmp_path / "m.parquet")
    assert result["skipped"] == 0
    assert result["skipped_table"] is None
    assert len(manifest) == len(tree.rows) == result["captures"]
    columns = [manifest.column(c).tolist() for c in ("split", "label", "x_species", "species")]
    assert sorted(zip(*columns, strict=True)) == sorted(tree.rows)
    assert set(manifest.column("x_imported")) == {name}
    assert manifest.modality_counts() == {m.value: len(manifest) * (m.value in tree.modalities) for m in Modality}
    assert check_manifest(tmp_path / "m.parquet", decode=True).faults == ()
    assert files_below(tree.root) == before


@pytest.mark.parametrize(("name", "case"), CASES)
def test_images_of_a_row_belong_together_and_ids_tell_nothing(
    name: str, case: str, planted: Any, tmp_path: Path
) -> None:
    tree = planted(name, case)
    _, manifest = take_in(name, tree, tmp_path / "m.parquet")
    for row in manifest:
        assert re.fullmatch(r"c[0-9a-f]{16}", row.capture_id)
        assert re.fullmatch(r"p[0-9a-f]{16}", row.presentation_id)
        if not tree.marked:
            continue
        rgb, depth = read_rgb(manifest.resolve(row.rgb)), read_raw_depth(manifest.resolve(row.depth), row.depth_kind)
        marks = [_mark(image) for image in (rgb, depth, read_ir(manifest.resolve(row.ir)))]
        assert max(marks) - min(marks) < 6, (row, marks)


def _mark(image: np.ndarray) -> float:
    """Mean level of the middle, on a scale to 255."""
    y, x = (side // 2 for side in image.shape[:2])
    half = (MARK.stop - MARK.start) // 2 - 2
    return float(image[y - half : y + half, x - half : x + half].mean()) / (257 if image.dtype == np.uint16 else 1)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_broken_entries_are_told_by_place_and_the_rest_is_imported(
    name: str, case: str, faces: Faces, tmp_path: Path
) -> None:
    root = tmp_path / "set"
    root.mkdir()
    tree = importlib.import_module(f"data.trees.{name}").write(case, root, faces)
    assert tree.breaks
    for damage in tree.breaks:
        damage.do()
    out = tmp_path / "out" / "m.parquet"
    result, manifest = take_in(name, tree, out, max_broken=1.0)
    assert len(manifest) == len(tree.rows) - sum(damage.lost for damage in tree.breaks)
    assert skipped(out) == {(damage.kind, damage.file, damage.line) for damage in tree.breaks}
    assert result["skipped"] == sum(result["skipped_by_kind"].values()) > 0
    strict = tmp_path / "strict.parquet"
    with pytest.raises(InputError, match="max_broken"):
        take_in(name, tree, strict)
    assert not strict.exists()
    assert skipped(strict)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_unknown_species_are_refused_by_name_unless_kept(
    name: str, case: str, planted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = planted(name, case)
    monkeypatch.setattr(registry.importer_class(name), "species", {})
    native = sorted({row[2] for row in tree.rows if row[2]})
    with pytest.raises(InputError, match=re.escape(f"'{native[0]}'")):
        take_in(name, tree, tmp_path / "m.parquet")
    _, manifest = take_in(name, tree, tmp_path / "m.parquet", unknown_species="keep")
    attack = manifest.column("label") == "attack"
    assert set(manifest.column("species")[attack]) == {"unknown"}
    assert sorted(set(manifest.column("x_species")[attack])) == native
    _, manifest = take_in(name, tree, tmp_path / "m.parquet", species=dict.fromkeys(native, "makeup"))
    assert set(manifest.column("species")[attack]) == {"makeup"}


@pytest.mark.parametrize(("name", "case"), CASES)
def test_an_interrupted_import_goes_on_and_ends_alike(
    name: str, case: str, planted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = planted(name, case)
    cls = registry.importer_class(name)
    _, whole = take_in(name, tree, tmp_path / "whole.parquet", images=tmp_path / "images")
    read: list[str] = []
    original = cls.read

    def counting(self: Importer, item: Item) -> Any:
        read.append(item.key)
        return original(self, item)

    def stop(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(cls, "read", counting)
    out = tmp_path / "m.parquet"
    with pytest.raises(KeyboardInterrupt):
        take_in(name, tree, out, stop, images=tmp_path / "images")
    assert not out.exists()
    with out.with_name("m.parquet.unfinished.jsonl").open("a") as handle:
        handle.write('{"key": "to')  # what a kill leaves
    before = len(read)
    _, manifest = take_in(name, tree, out, images=tmp_path / "images", workers=1)
    assert len(read) - before == len({*read[before:]}) < before + len(manifest)
    assert manifest.table.equals(whole.table)
    assert [p.name for p in tmp_path.iterdir() if "unfinished" in p.name or ".part" in p.name] == []


@pytest.mark.parametrize(("name", "case"), CASES)
def test_another_folder_is_refused(name: str, case: str, planted: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    options = planted(name, case).options
    with pytest.raises(InputError, match="expected"):
        take_in(name, Tree(tmp_path / "empty", options=options), tmp_path / "m.parquet")
    with pytest.raises(InputError, match="not found"):
        take_in(name, Tree(tmp_path / "nowhere", options=options), tmp_path / "m.parquet")


@pytest.mark.parametrize("name", registry.names())
def test_every_set_has_a_page_that_says_what_a_user_needs(name: str) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "datasets" / f"{name}.md"
    text = page.read_text("utf-8")
    assert f"mfas data import {name} " in text
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert {"Obtaining it", "Layout", "Command", "What to expect", "Licence", "Unclear"} <= set(headings)


def test_every_table_of_species_gives_names_that_a_manifest_may_hold() -> None:
    from mfas.data.species import SPECIES

    for name in registry.names():
        assert set(registry.importer_class(name).species.values()) <= set(SPECIES)
