"""The freeze switch outside the database: an environment variable and a file, looked at each time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

FREEZE_ENV = "MFAS_FREEZE"
FREEZE_FILE_ENV = "MFAS_FREEZE_FILE"
_OFF = ("", "0", "false", "no", "off")


@dataclass(frozen=True, slots=True)
class FreezeSwitch:
    """Thrown while ``MFAS_FREEZE`` is set, or while ``file`` (or that of ``MFAS_FREEZE_FILE``) exists.

    It stops learning and promotion at every site this process works for; what is in force goes on serving.
    """

    file: Path | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def thrown(self) -> str | None:
        """By what the switch is thrown; None if it is not."""
        if self.environment.get(FREEZE_ENV, "").strip().lower() not in _OFF:
            return f"environment variable {FREEZE_ENV}"
        named = self.environment.get(FREEZE_FILE_ENV)
        for file in (self.file, Path(named) if named else None):
            if file is not None and os.path.lexists(file):
                return f"file {file.name}"
        return None
