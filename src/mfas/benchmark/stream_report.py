"""`mfas report`: the page of one run of `mfas adapt`, with the truth and the source beside it where they are known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from mfas._files import read_json
from mfas.benchmark.progress import DONE_FILE, SCORES_FILE, read_steps
from mfas.benchmark.pseudo_labels import judge_pseudo_labels, with_truth
from mfas.card import CARD_FILE, Card
from mfas.config import Config, environment
from mfas.core import Label, Outcome
from mfas.data.manifest import read_manifest
from mfas.data.scores import ScoreTable, read_scores
from mfas.errors import InputError
from mfas.report.data import StreamData, StreamErrors, Timeline
from mfas.report.stream_page import write_stream
from mfas.weights import default_directory

_HIDDEN = ("model", "manifest", "out", "yunet")
"""Paths of the machine that made the run do not belong on a page."""


class StreamReportConfig(Config):
    """Configuration of `mfas report`."""

    run: Path
    out: Path
    manifest: Path | None = Field(None, description="labels, where the run's score table has none")
    source: Path | None = Field(None, description="run of method source over the same captures")
    model: Path | None = Field(None, description="model directory for the threshold, if it has moved")
    threshold: float | None = Field(None, ge=0, le=1)
    window: int = Field(100, ge=10, description="captures of a moving error rate")


def report_stream(config: StreamReportConfig) -> dict[str, Any]:
    """Write the page of ``config.run`` to ``config.out``; returns a JSON-safe summary.

    Raises `InputError` when the folder holds no finished run, or the two runs are not over the same captures.
    """
    made = _made(config.run)
    table = read_scores(config.run / SCORES_FILE)
    truth = _truth(table, config.manifest)
    steps = read_steps(config.run)
    notes: list[str] = []
    errors = _errors(config, made, table, truth, notes)
    site = next(iter(sorted(set(table.column("site").tolist()) - {""})), config.run.name)
    stream = Timeline(
        name=site,
        missing=made["missing"],
        method=made["method"],
        steps=with_truth(steps, truth),
        pseudo_labels=judge_pseudo_labels(steps, truth) if any(truth.values()) else None,
    )
    data = StreamData(
        timeline=stream,
        errors=errors,
        strengths=_strengths(config.run),
        notes=notes,
        environment=environment(),
        command=f"mfas report {config.run.name}",
        config={key: value for key, value in made.items() if key not in _HIDDEN},
    )
    write_stream(data, config.out)
    return {"page": str(config.out), "steps": len(steps), "captures": len(table), "notes": notes}


def _made(run: Path) -> dict[str, Any]:
    if not (run / DONE_FILE).is_file():
        raise InputError(f"expected a finished run of mfas adapt in {run}, found no {DONE_FILE}")
    made: dict[str, Any] = read_json(run / "config.json", "configuration of the run")["config"]
    return made


def _truth(table: ScoreTable, manifest: Path | None) -> dict[str, str]:
    """Label of every capture of the run, empty where unknown; the manifest has the last word."""
    truth = dict(zip(table.column("capture_id").tolist(), table.column("label").tolist(), strict=True))
    if manifest is not None:
        listed = read_manifest(manifest)
        given = dict(zip(listed.column("capture_id").tolist(), listed.column("label").tolist(), strict=True))
        if not truth.keys() <= given.keys():
            raise InputError(
                f"expected every capture of the run in {manifest}, got {len(truth.keys() - given)} without"
            )
        truth = {capture: given[capture] for capture in truth}
    return truth


def _errors(
    config: StreamReportConfig, made: Mapping[str, Any], table: ScoreTable, truth: Mapping[str, str], notes: list[str]
) -> StreamErrors | None:
    scored = table.take(table.column("outcome") == Outcome.SCORED.value)
    captures = scored.column("capture_id").tolist()
    if not captures or not all(truth[capture] for capture in captures):
        notes.append("Not every capture has a label, so no error rates are shown; --manifest names one that has them.")
        return None
    threshold = _threshold(config, made, notes)
    if threshold is None:
        return None
    return StreamErrors(
        bona_fide=np.array([truth[capture] == Label.BONA_FIDE.value for capture in captures], dtype=np.bool_),
        adapted=scored.column("score"),
        source=_source(config.source, captures, made["missing"], notes),
        threshold=threshold,
        window=config.window,
    )


def _threshold(config: StreamReportConfig, made: Mapping[str, Any], notes: list[str]) -> float | None:
    if config.threshold is not None:
        return config.threshold
    folder = config.model or (Path(made["model"]) if made["model"] else default_directory())
    if not (folder / CARD_FILE).is_file():
        notes.append("The model directory is not where it was, so no error rates are shown; --model says where it is.")
        return None
    return Card.read(folder, verify=False).threshold(made["missing"])


def _source(
    run: Path | None, captures: list[str], missing: str, notes: list[str]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None:
    if run is None:
        notes.append("No run of the source model was given (--source), so the page cannot say what adaptation changed.")
        return None
    other = _made(run)
    if other["missing"] != missing:
        raise InputError(f"expected a source run with missing '{missing}', got '{other['missing']}' in {run}")
    table = read_scores(run / SCORES_FILE)
    found = dict(zip(table.column("capture_id").tolist(), table.column("score").tolist(), strict=True))
    scores = np.array([found.get(capture, np.nan) for capture in captures], dtype=np.float64)
    if np.isnan(scores).any():
        raise InputError(
            f"expected a score for every capture of the run in {run}, got {int(np.isnan(scores).sum())} without"
        )
    return scores


def _strengths(run: Path) -> dict[str, float]:
    """How strongly each signal lowers the weight: from the settings of the innermost adapter."""
    facts = read_json(run / "state.json", "adaptation state").get("facts", {})
    while isinstance(facts.get("inner"), dict):
        facts = facts["inner"]
    found = facts.get("settings", {}).get("weight", {})
    return {name: value for name, value in found.items() if isinstance(value, int | float)}
