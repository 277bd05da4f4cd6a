"""Files written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfas._files import atomic_path, make_folder, read_json, write_json, write_text
from mfas.errors import InputError


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")

    def stumble() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("ne")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        stumble()
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_secretive_writer_does_not_lock_others_out(tmp_path: Path) -> None:
    write_text(tmp_path / "plain.txt", "a")
    with atomic_path(tmp_path / "weights.bin") as temporary:
        temporary.unlink()
        temporary.touch(mode=0o600)
    assert (tmp_path / "weights.bin").stat().st_mode == (tmp_path / "plain.txt").stat().st_mode


def test_json_is_strict(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"score": float("nan")})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="model card not found"):
        read_json(tmp_path / "a.json", "model card")


def test_a_folder_to_write_to(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="got a file"):
            make_folder(path)
