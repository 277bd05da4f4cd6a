"""The command line, called in this process, and what it answered."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfas import cli


@dataclass(frozen=True)
class Answer:
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """The result printed under ``--json``; a failed command shows its sentence."""
        assert self.code == 0, self.err
        return json.loads(self.out)


def mfas(*argv: object) -> Answer:
    """Run ``mfas ARGV``."""
    out, err = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, ["mfas", *map(str, argv)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
        raise AssertionError("main returned")
    except SystemExit as end:
        code = end.code
    finally:
        sys.argv = before
    assert isinstance(code, int)
    return Answer(code, out.getvalue(), err.getvalue())


def refusal(*argv: object) -> str:
    """Run a command that must be refused: exit code 2, one sentence on standard error; returns it."""
    answer = mfas(*argv)
    assert answer.code == 2, answer
    assert "Traceback" not in answer.err
    lines = answer.err.splitlines()
    assert len(lines) == 1, answer.err
    assert lines[0].startswith("mfas: ")
    return lines[0].removeprefix("mfas: ")


def left_over(folder: Path) -> list[str]:
    """Half-written files and checkpoints below ``folder``."""
    return [str(p.relative_to(folder)) for p in folder.rglob("*") if ".part" in p.name or p.name == "unfinished"]
