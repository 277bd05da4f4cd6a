"""Bad input: one plain sentence on standard error, exit code 2, never a traceback, never a guess."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
import pytest

from commands import mfas, refusal
from mfas.data.images import read_rgb
from mfas.data.manifest import Row, read_manifest
from mfas.errors import ImageError


@pytest.fixture(scope="module")
def row(site: Path) -> Row:
    return read_manifest(site / "manifest.parquet").row(0)


def bomb(path: Path) -> Path:
    """A PNG of 100 kB that says it is 30,000 x 30,000 pixels of one bit."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(30_000 * 3_751), 9)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    return path


def test_a_bomb_is_refused_from_its_header(model_dir: Path, tmp_path: Path) -> None:
    path = bomb(tmp_path / "bomb.png")
    start = perf_counter()
    with pytest.raises(ImageError, match="30,000 x 30,000"):
        read_rgb(path)
    assert perf_counter() - start < 0.05
    assert "30,000 x 30,000" in refusal("predict", "--model", model_dir, "--rgb", path)


def test_images_that_cannot_be_used(model_dir: Path, site: Path, row: Row, tmp_path: Path) -> None:
    def answer(modality: str, path: Path, *more: object) -> str:
        return refusal("predict", "--model", model_dir, f"--{modality}", path, "--box", "full", *more)

    assert "not found" in answer("rgb", tmp_path / "none.png")
    whole = (site / row.rgb).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    assert "truncated" in answer("rgb", tmp_path / "cut.png")
    (tmp_path / "void.png").write_bytes(b"")
    assert "empty file" in answer("rgb", tmp_path / "void.png")
    metres = cv2.imread(str(site / row.depth), cv2.IMREAD_UNCHANGED).astype(np.float32) / 1000
    cv2.imwrite(str(tmp_path / "float.tiff"), metres)
    assert "16-bit PNG (H, W), got a TIFF file" in answer("depth", tmp_path / "float.tiff")
    shutil.copy(tmp_path / "float.tiff", tmp_path / "float.png")
    assert "got a TIFF file" in answer("depth", tmp_path / "float.png")
    np.save(tmp_path / "float.npy", metres)
    (tmp_path / "float.npy").rename(tmp_path / "array.png")
    assert "NumPy array" in answer("depth", tmp_path / "array.png")
    assert "uint8" in answer("depth", site / row.rgb)
    assert "check depth_scale_m (now 1)" in answer("depth", site / row.depth, "--depth-scale-m", 1)
    assert "Is a directory" in answer("rgb", tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "capture_id,rgb,label\na,{rgb},attack\na,{rgb},attack\n",
            "row 2, column capture_id: 'a' already stands in row 1",
        ),
        ("rgb,label,species\n{rgb},attack,hologram\n", "row 1, column species"),
        ("rgb,label\n{rgb},spoof\n", "row 1, column label: expected one of bona_fide, attack, got 'spoof'"),
        (
            "capture_id,rgb,label,subject,split\na,{rgb},attack,s,train\nb,{rgb},attack,s,test\n",
            "row 2, column split: subject 's' is 'test'",
        ),
        (
            "capture_id,rgb,label\na,{rgb},attack\nb,,attack\n",
            "row 2, column rgb: expected an image in rgb, depth or ir, got none",
        ),
        ("rgb,label,colour\n{rgb},attack,red\n", "column 'colour'"),
    ],
    ids=["duplicate", "species", "label", "two splits", "no modality", "column"],
)
def test_manifests_that_break_the_contract(
    text: str, expected: str, model_dir: Path, site: Path, row: Row, tmp_path: Path
) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text.format(rgb=site / row.rgb))
    for argv in (
        ("data", "check", path),
        ("data", "crop", path, "--out", tmp_path / "c"),
        ("data", "audit", path),
        ("train", "--manifest", path, "--out", tmp_path / "m"),
        ("adapt", "--model", model_dir, "--manifest", path, "--out", tmp_path / "a"),
    ):
        assert expected in refusal_after_output(*argv)


def refusal_after_output(*argv: object) -> str:
    """As `refusal`; `mfas data check` may print its report first."""
    answer = mfas(*argv)
    assert answer.code == 2
    (line,) = answer.err.splitlines()
    return line


def test_millimetres_declared_as_metres(model_dir: Path, site: Path, row: Row, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"depth,label,box,depth_scale_m\n{site / row.depth},attack,full,1\n")
    for argv in (
        ("data", "check", path),
        ("adapt", "--model", model_dir, "--manifest", path, "--out", tmp_path / "a"),
    ):
        assert "depth_scale_m" in refusal_after_output(*argv)


@pytest.mark.parametrize("content", ["rgb,label\n", ""], ids=["header only", "no bytes"])
def test_an_empty_manifest(content: str, model_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(content)
    for argv in (
        ("data", "check", path),
        ("data", "crop", path, "--out", tmp_path / "c"),
        ("train", "--manifest", path, "--out", tmp_path / "m"),
        ("adapt", "--model", model_dir, "--manifest", path, "--out", tmp_path / "a"),
    ):
        assert refusal_after_output(*argv)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("label,species,score\nbona_fide,,nan\nattack,x,0.1\n", "row 1, column score: expected a number"),
        ("label,species,score\nbona_fide,,1.5\n", "expected a score in [0, 1], got 1.5"),
        ("label,species,score\nbona_fide,,high\n", "expected a number, got 'high'"),
        ("label,species,score\nspoof,,0.5\n", "column label"),
        ("label,species,score\n,,0.5\n", "expected a label in every row"),
        ("label,species\nattack,x\n", "no 'score'"),
        ("label,species,score\n", "got none"),
    ],
)
def test_scores_that_break_the_contract(text: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(text)
    assert expected in refusal("evaluate", tmp_path / "s.csv")
    assert not (tmp_path / "s.evaluation").exists()


@pytest.mark.parametrize("label", ["bona_fide", "attack"])
def test_one_class_reports_what_it_can(label: str, tmp_path: Path) -> None:
    rows = "".join(f"{label},{'print_flat' if label == 'attack' else ''},0.{i}\n" for i in range(1, 10))
    (tmp_path / "s.csv").write_text("label,species,score\n" + rows)
    (run,) = mfas("evaluate", tmp_path / "s.csv", "--threshold", 0.5, "--json").json()["runs"]
    assert run["auc"] is run["hter"] is run["acer"] is run["hter_eer"] is None
    given, lacking = ("bpcer", "apcer") if label == "bona_fide" else ("apcer", "bpcer")
    assert run[given] == pytest.approx(4 / 9 if label == "bona_fide" else 5 / 9)
    assert run[lacking] is None
    assert run["notes"]
    assert mfas("evaluate", tmp_path / "s.csv").code == 0


def test_nothing_but_non_responses_is_a_result(tmp_path: Path) -> None:
    rows = "bona_fide,,,non_response\nattack,print_flat,,non_response\n"
    (tmp_path / "s.csv").write_text("label,species,score,outcome\n" + rows)
    (run,) = mfas("evaluate", tmp_path / "s.csv", "--threshold", 0.5, "--json").json()["runs"]
    assert run["non_response"] == 2
    assert run["bpcer"] is run["apcer"] is run["auc"] is None
    assert mfas("evaluate", tmp_path / "s.csv").code == 0


def test_thresholds_that_make_no_sense(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("label,species,score\nbona_fide,,0.7\nattack,x,0.1\n")
    (tmp_path / "one.csv").write_text("label,species,score\nbona_fide,,0.7\n")
    scores = tmp_path / "s.csv"
    assert "threshold" in refusal("evaluate", scores, "--threshold", 2)
    assert "either threshold or dev" in refusal("evaluate", scores, "--threshold", 0.5, "--dev", scores)
    assert "not found" in refusal("evaluate", scores, "--dev", tmp_path / "none.csv")
    assert "one class" in refusal("evaluate", scores, "--dev", tmp_path / "one.csv")
    assert "not found" in refusal("evaluate", tmp_path / "none.csv")


def test_model_directories_that_do_not_fit(model_dir: Path, site: Path, row: Row, tmp_path: Path) -> None:
    def both(folder: Path) -> str:
        sentence = refusal("predict", "--model", folder, "--rgb", site / row.rgb, "--box", "full")
        adapt = ("adapt", "--model", folder, "--manifest", site / "manifest.parquet", "--out", tmp_path / "a")
        assert refusal(*adapt) == sentence
        assert not (tmp_path / "a").exists()
        return sentence

    assert "found none at" in both(tmp_path / "none")
    other = tmp_path / "m"
    other.mkdir()
    assert "model card not found" in both(other)
    (other / "card.json").write_text("{")
    assert "not valid JSON" in both(other)
    (other / "card.json").write_text("{}")
    assert "'model'" in both(other)
    shutil.copytree(model_dir, other, dirs_exist_ok=True)
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    assert "does not match its card" in both(other)
    (other / "model.safetensors").unlink()
    assert "which is not there" in both(other)
    shutil.copy(model_dir / "model.safetensors", other)
    card = json.loads((other / "card.json").read_text())
    (other / "card.json").write_text(json.dumps(card | {"model": "perceptron"}))
    assert "expected a model out of" in both(other)


def test_names_and_keys_nobody_knows(model_dir: Path, site: Path, tmp_path: Path) -> None:
    manifest, out = site / "manifest.parquet", tmp_path / "o"
    train = ("train", "--manifest", manifest, "--out", out)
    adapt = ("adapt", "--model", model_dir, "--manifest", manifest, "--out", out)
    assert "unknown key 'speed'" in refusal(*train, "--set", "speed=1")
    assert "unknown key 'loop.speed'" in refusal(*train, "--set", "loop.speed=1")
    assert "expected --set key=value" in refusal(*train, "--set", "speed")
    assert "expected a model out of" in refusal(*train, "--model", "perceptron")
    assert "unknown key 'depth'" in refusal(*train, "--set", "architecture.depth=3")
    assert "'loop.epochs'" in refusal(*train, "--set", "loop.epochs=many")
    assert "expected a method out of" in refusal(*adapt, "--method", "magic")
    assert "unknown key 'speed'" in refusal(*adapt, "--set", "settings.speed=1")
    assert "thermal" in refusal(*adapt, "--missing", "thermal")
    assert "at least one modality" in refusal(*adapt, "--missing", "ir,rgb,depth")
    assert "got none (split holdout)" in refusal(*adapt, "--set", "split=holdout")
    assert "unknown site 'moon'" in refusal("data", "simulate", "--site", "moon", "--count", 3, "--out", out)
    assert "'count'" in refusal("data", "simulate", "--site", "office", "--count", 0, "--out", out)
    demo = ("demo", "--out", out)
    assert "unknown key 'speed'" in refusal(*demo, "--set", "speed=1")
    assert "unknown key 'speed'" in refusal(*demo, "--set", "training.speed=1")
    assert "unknown key 'speed'" in refusal(*demo, "--set", "settings.speed=1")
    assert "expected a method out of" in refusal(*demo, "--set", "methods=[source, magic]")
    assert "unknown site 'moon'" in refusal(*demo, "--set", "target=moon")
    assert "thermal" in refusal(*demo, "--set", "missing=[thermal]")
    assert not out.exists(), "refused before anything was written"


def test_command_lines_that_lack_something() -> None:
    assert "at least one of rgb, depth, ir" in refusal("predict", "--model", "m")
    assert "'manifest'" in refusal("train", "--out", "m")
    assert "'out'" in refusal("train", "--manifest", "m.csv")
    assert "'manifest'" in refusal("adapt")
    assert "'model'" in refusal("export", "--out", "e")
    assert "'site'" in refusal("data", "simulate", "--count", 3, "--out", "s")
    assert "--out" in refusal("data", "crop", "m.csv")
    assert "--shiny" in refusal("predict", "--shiny", 1)
    assert "no such command 'dance'" in refusal("dance")
    assert "--count" in refusal("data", "simulate", "--count", "many")
    helped = mfas()
    assert helped.code == 2
    assert "Usage: " in helped.err + helped.out


def test_configuration_files_that_are_none(tmp_path: Path) -> None:
    for name, content in {"open.yaml": b"a: [1,\n", "bytes.yaml": b"\x00\xff", "list.yaml": b"- 1\n"}.items():
        (tmp_path / name).write_bytes(content)
        assert name in refusal("train", "--config", tmp_path / name)
    assert "found none at" in refusal("train", "--config", tmp_path / "none.yaml")
    (tmp_path / "site.yaml").write_text("name: own\nlens: fisheye\n")
    assert "site.yaml" in refusal("data", "simulate", "--site", tmp_path / "site.yaml", "--count", 3, "--out", tmp_path)


def test_an_out_that_is_a_file(model_dir: Path, site: Path, tmp_path: Path) -> None:
    manifest = site / "manifest.parquet"
    (tmp_path / "s.csv").write_text("label,species,score\nbona_fide,,0.7\nattack,x,0.1\n")
    (tmp_path / "file").write_text("mine")
    for argv in (
        ("data", "simulate", "--site", "office", "--count", 3),
        ("data", "crop", manifest),
        ("train", "--manifest", manifest),
        ("adapt", "--model", model_dir, "--manifest", manifest),
        ("evaluate", tmp_path / "s.csv"),
        ("demo",),
    ):
        for out in (tmp_path / "file", tmp_path / "file" / "below"):
            assert "got a file" in refusal(*argv, "--out", out)
    assert (tmp_path / "file").read_text() == "mine"


def test_crop_sizes_that_make_no_sense(site: Path, tmp_path: Path) -> None:
    argv = ("data", "crop", site / "manifest.parquet", "--out", tmp_path)
    assert "'size'" in refusal(*argv, "--size", 0)
    assert "'scale'" in refusal(*argv, "--scale", -1)
    assert "'workers'" in refusal(*argv, "--workers", 0)


def test_crops_do_not_replace_the_manifest_they_come_from(site: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.parquet"
    shutil.copy(site / "manifest.parquet", manifest)
    before = manifest.read_bytes()
    assert "another folder" in refusal("data", "crop", manifest, "--out", tmp_path)
    assert manifest.read_bytes() == before
