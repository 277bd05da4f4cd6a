"""The page of ``mfas report``: one run of ``mfas adapt`` along its stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mfas._files import write_text
from mfas.report import _text, pseudo_labels, stream_figure, tables, timeline
from mfas.report._render import render
from mfas.report.data import StreamData, StreamErrors
from mfas.report.stream_events import events


def write_stream(data: StreamData, path: Path) -> None:
    """Write the page atomically; it needs no other file."""
    write_text(path, build_stream(data))


def build_stream(data: StreamData) -> str:
    """The page as text; the same data give the same bytes."""
    stream = data.timeline
    claims = stream.pseudo_labels
    return render(
        "stream.html.j2",
        title=_text.plain(stream.name),
        subtitle=f"{stream.method}, {_text.pattern(stream.missing)}",
        lead=timeline.sentence(stream),
        cost=_cost(data.errors) if data.errors is not None else "",
        cards=_cards(data),
        notes=data.notes,
        figure=stream_figure.figure(data) if stream.steps else "",
        compared=data.errors is not None and data.errors.source is not None,
        window=data.errors.window if data.errors is not None else 0,
        events=events(data),
        claims=pseudo_labels.figure(claims, stream.missing)
        if claims is not None and pseudo_labels.has_claims(claims)
        else "",
        claims_text=pseudo_labels.sentence(claims) if claims is not None else "",
        command=data.command,
        environment=tables.settings(data.environment),
        config=tables.settings(data.config),
    )


def _cards(data: StreamData) -> list[tuple[str, str]]:
    steps = data.timeline.steps
    weights = [step["loss_weight"] for step in steps if step.get("loss_weight") is not None]
    undone = sum(any("rolled back" in verdict for verdict in timeline.verdicts(step)) for step in steps)
    cards = [
        (str(sum(bool(step.get("updated")) for step in steps)), "updates"),
        (str(undone), "rolled back by a guard"),
        (_text.decimal(min(weights), 2) if weights else _text.DASH, "lowest loss weight"),
    ]
    if data.errors is not None:
        shown = [("HTER over captures, adapted", data.errors.adapted)]
        if data.errors.source is not None:
            shown.insert(0, ("HTER over captures, source", data.errors.source))
        cards += [(_text.percent(_hter(scores, data.errors)), name) for name, scores in shown]
    return cards


def _hter(scores: np.ndarray[tuple[int, ...], np.dtype[np.float64]], errors: StreamErrors) -> float | None:
    wrong = _wrong(scores, errors)
    parts = [wrong[errors.bona_fide], wrong[~errors.bona_fide]]
    return float(np.mean([part.mean() for part in parts])) if all(part.size for part in parts) else None


def _wrong(
    scores: np.ndarray[tuple[int, ...], np.dtype[np.float64]], errors: StreamErrors
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.asarray((scores >= errors.threshold) != errors.bona_fide)


def _cost(errors: StreamErrors) -> str:
    after = _wrong(errors.adapted, errors)
    kinds = (("bona fide rejected", errors.bona_fide), ("attacks accepted", ~errors.bona_fide))
    if errors.source is None:
        told = [f"{int(after[rows].sum())} of {int(rows.sum())} {name}" for name, rows in kinds]
        return f"At the source threshold of {_text.decimal(errors.threshold)}: {', '.join(told)}."
    before = _wrong(errors.source, errors)
    told = [
        f"{name}: {int(before[rows].sum())} by the source, {int(after[rows].sum())} adapted "
        f"({int((before & ~after)[rows].sum())} put right, {int((after & ~before)[rows].sum())} new)"
        for name, rows in kinds
    ]
    return f"At the source threshold of {_text.decimal(errors.threshold)}, {'; '.join(told)}."
