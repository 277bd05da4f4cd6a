"""The secret: made once, kept private, and different hashes for different purposes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from mfas.errors import ConfigError
from mfas.service.signing import Secret, load_secret

SECRET = Secret(bytes(range(32)))


def test_the_file_is_made_once_and_private(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "secret"
    first = load_secret(file, {})
    assert file.stat().st_mode & 0o777 == 0o600
    assert load_secret(file, {}).fingerprint() == first.fingerprint()
    assert [p.name for p in file.parent.iterdir()] == ["secret"]
    with pytest.raises(ConfigError, match="expected a file"):
        load_secret(tmp_path / "other", {}, create=False)


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(load_secret(tmp_path / "s", {}).fingerprint())) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    load_secret(tmp_path / "s", {})
    (tmp_path / "s").chmod(0o640)
    with pytest.raises(ConfigError, match="owner only"):
        load_secret(tmp_path / "s", {})


def test_the_environment_comes_first(tmp_path: Path) -> None:
    named = load_secret(tmp_path / "named", {})
    environment = {"MFAS_SECRET": "ab" * 32, "MFAS_SECRET_FILE": str(tmp_path / "named")}
    assert load_secret(tmp_path / "s", environment).fingerprint() == Secret(b"\xab" * 32).fingerprint()
    del environment["MFAS_SECRET"]
    assert load_secret(tmp_path / "s", environment).fingerprint() == named.fingerprint()
    assert not (tmp_path / "s").exists()
    with pytest.raises(ConfigError, match="expected a file"):
        load_secret(tmp_path / "s", {"MFAS_SECRET_FILE": str(tmp_path / "nowhere")})
    for text in ("", "ab", "zz" * 32, "ab" * 33):
        with pytest.raises(ConfigError, match="64 hex digits"):
            load_secret(tmp_path / "s", {"MFAS_SECRET": text})


def test_pseudonyms_differ_by_site_kind_and_secret() -> None:
    hashes = {
        SECRET.pseudonym("door", "subject", "ann"),
        SECRET.pseudonym("door", "device", "ann"),
        SECRET.pseudonym("gate", "subject", "ann"),
        SECRET.pseudonym("doora", "subject", "nn"),
        Secret(b"x" * 32).pseudonym("door", "subject", "ann"),
    }
    assert len(hashes) == 5
    assert SECRET.pseudonym("door", "subject", "ann") in hashes
    assert all(len(h) == 64 for h in hashes)


def test_a_signature_is_for_one_state_at_one_place() -> None:
    own = ("a" * 64, "door", "b" * 64, "source")
    signature = SECRET.sign(*own)
    assert SECRET.signed(signature, *own)
    for i in range(4):
        other = [*own]
        other[i] = other[i][:-1] + "x"
        assert not SECRET.signed(signature, *other)
    assert not Secret(b"x" * 32).signed(signature, *own)
    assert not SECRET.signed("ü", *own)
    assert not SECRET.signed("", *own)


def test_a_secret_does_not_show_itself() -> None:
    assert repr(SECRET) == "Secret()"
    with pytest.raises(ConfigError, match="32 bytes"):
        Secret(b"short")
