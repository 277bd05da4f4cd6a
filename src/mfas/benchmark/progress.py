"""A run that survives being killed: parts and a pointer to the last good one, joined when the run ends."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfas._files import read_json, write_json, write_text
from mfas.data.scores import ScoreTable, read_scores, write_scores
from mfas.errors import InputError

if TYPE_CHECKING:
    from mfas.adaptation.contract import StepReport

SCORES_FILE = "scores.parquet"
STEPS_FILE = "steps.jsonl"
DONE_FILE = "run.json"


class Progress:
    """Checkpoints of one stream under ``OUT/unfinished``; ``cursor`` counts captures dealt with.

    Each checkpoint writes its own numbered files, then renames ``progress.json`` over the old one: whatever the moment
    of a kill, the pointer names files that are whole.
    """

    def __init__(self, out: Path, identity: dict[str, Any]) -> None:
        self.out = out
        self.folder = out / "unfinished"
        self.identity = identity
        self.cursor = 0
        self.count = 0
        self.seconds = 0.0

    @property
    def prefix(self) -> str:
        """Before the file names of the last checkpoint."""
        return f"{self.count:06d}-"

    def finished(self) -> bool:
        """Whether ``OUT`` holds the end of this very run."""
        done = self.out / DONE_FILE
        return done.is_file() and read_json(done, "run record")["identity"] == self.identity

    def open(self, resume: bool) -> None:
        """Start anew, or take up the last checkpoint."""
        pointer = self.folder / "progress.json"
        if pointer.is_file():
            if not resume:
                raise InputError(
                    f"{self.out} holds an unfinished run: continue it with --resume or choose another --out"
                )
            record = read_json(pointer, "progress record")
            if record["identity"] != self.identity:
                raise InputError(f"{self.out} holds an unfinished run with another model, manifest or configuration")
            self.cursor, self.count, self.seconds = record["cursor"], record["count"], record["seconds"]
        self.folder.mkdir(parents=True, exist_ok=True)

    def checkpoint(
        self,
        scores: ScoreTable | None,
        reports: Sequence[StepReport],
        seconds: float,
        save: Callable[[str], None],
    ) -> None:
        """Make everything up to ``cursor`` permanent; ``save(prefix)`` writes the adapter's state."""
        before = self.prefix
        self.count += 1
        self.seconds += seconds
        if scores is not None:
            write_scores(scores, self.folder / f"{self.prefix}{SCORES_FILE}")
        lines = "".join(json.dumps(report.to_dict(), allow_nan=False) + "\n" for report in reports)
        write_text(self.folder / f"{self.prefix}{STEPS_FILE}", lines)
        save(self.prefix)
        record = {"identity": self.identity, "cursor": self.cursor, "count": self.count, "seconds": self.seconds}
        write_json(self.folder / "progress.json", record)
        for stale in self.folder.glob(f"{before}*"):
            if not stale.name.endswith((SCORES_FILE, STEPS_FILE)):
                stale.unlink()

    def close(self) -> None:
        """Join the parts into ``scores.parquet`` and ``steps.jsonl`` and remove the checkpoints."""
        parts = [self.folder / f"{i:06d}-{SCORES_FILE}" for i in range(1, self.count + 1)]
        scores = ScoreTable.concat(read_scores(part) for part in parts if part.is_file())
        steps = [(self.folder / f"{i:06d}-{STEPS_FILE}").read_text("utf-8") for i in range(1, self.count + 1)]
        write_scores(scores, self.out / SCORES_FILE)
        write_text(self.out / STEPS_FILE, "".join(steps))
        write_json(self.out / DONE_FILE, {"identity": self.identity, "captures": self.cursor, "seconds": self.seconds})
        self.clear()

    def clear(self) -> None:
        """Remove the checkpoints and whatever a killed run left half-written."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for stale in self.out.glob(".*.part*"):
            stale.unlink(missing_ok=True)

    def totals(self) -> dict[str, Any]:
        """Counts over the finished run."""
        done = read_json(self.out / DONE_FILE, "run record")
        steps = read_steps(self.out)
        return {
            "captures": done["captures"],
            "non_response": read_scores(self.out / SCORES_FILE).non_responses,
            "steps": len(steps),
            "updates": sum(step["updated"] for step in steps),
            "accepted": sum(step["accepted"] for step in steps),
            "seconds": done["seconds"],
            "captures_per_second": done["captures"] / done["seconds"] if done["seconds"] else None,
        }


def read_steps(out: Path) -> list[dict[str, Any]]:
    """The lines of ``OUT/steps.jsonl``."""
    return [json.loads(line) for line in (out / STEPS_FILE).read_text("utf-8").splitlines()]
