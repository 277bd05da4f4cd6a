"""What an interrupted import had finished: one line per item, appended when its images are on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mfas.errors import InputError


class Journal:
    """``M.parquet.unfinished.jsonl`` beside the manifest: a line that says what is imported, then one per item.

    A line torn by a kill is not read. ``identity`` must be the same for the work to go on.
    """

    def __init__(self, manifest: Path, identity: dict[str, Any]) -> None:
        self.path = _beside(manifest)
        self._identity = identity
        self.done: dict[str, dict[str, Any]] = {}
        lines = list(self._read())
        if lines and lines[0] != identity:
            raise InputError(
                f"{self.path} is of an unfinished import with another root or options: remove it, or import as then"
            )
        # what was wrong may have been mended meanwhile
        self.done = {line["key"]: line for line in lines[1:] if line["fault"] is None}
        # written anew, so that nothing is appended to a torn line
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._handle = self.path.open("w", encoding="utf-8")
        for line in (identity, *self.done.values()):
            self._write(line)

    def add(self, key: str, rows: list[dict[str, Any]], fault: list[str] | None) -> None:
        """An item is finished: its rows, or the kind and reason of what was wrong with it."""
        self._write({"key": key, "rows": rows, "fault": fault})

    def close(self) -> None:
        """Stop writing; the file stays until `remove`."""
        self._handle.close()

    @staticmethod
    def remove(manifest: Path) -> None:
        """The manifest is written: nothing is unfinished."""
        _beside(manifest).unlink(missing_ok=True)

    def _write(self, line: dict[str, Any]) -> None:
        self._handle.write(json.dumps(line) + "\n")
        self._handle.flush()

    def _read(self) -> Iterator[dict[str, Any]]:
        if not self.path.is_file():
            return
        for text in self.path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(text)
            except json.JSONDecodeError:
                return


def _beside(manifest: Path) -> Path:
    return manifest.with_name(manifest.name + ".unfinished.jsonl")
