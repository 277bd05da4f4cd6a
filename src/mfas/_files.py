"""Files written whole or not at all: beside the target first, then renamed over it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from mfas.errors import InputError


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target``; rename it over ``target`` on success, remove it on failure.

    The temporary name keeps the suffix of ``target`` (writers that choose a format by suffix still work). The file gets
    the permissions of any new file, also from writers that would keep it to its owner (a model directory is shared).
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}.{uuid4().hex[:8]}.part{target.suffix}")
    temporary.touch()
    permissions = temporary.stat().st_mode & 0o777
    try:
        yield temporary
        temporary.chmod(permissions)
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Create a folder to write to, parents included; `InputError` when that cannot be done."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"expected a folder to write to, got a file: {path}") from None
    except OSError as reason:
        raise InputError(f"expected a folder to write to, cannot make {path} ({reason.strerror})") from None
    if not os.access(path, os.W_OK):
        raise InputError(f"expected a folder to write to, got a read-only one: {path}")


def write_text(target: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:
    """Write JSON atomically, keys in the order given, floats as they are, NaN refused."""
    write_text(target, json.dumps(value, indent=2, allow_nan=False) + "\n")


def json_line(value: Any) -> str:
    """One line of JSON without its end, keys in the order given: the same text for the same value on any machine."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def read_json(path: Path, what: str, error: type[InputError] = InputError) -> Any:
    """Read JSON; a missing or malformed file raises ``error`` with a sentence that calls the file ``what``."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise error(f"{what} not found: {path}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as reason:
        raise error(f"{what} is not valid JSON: {path} ({reason})") from None


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
