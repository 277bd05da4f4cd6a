"""The page of ``mfas audit steal``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mfas._files import write_text
from mfas.report import _text
from mfas.report.sections import Section, Table, build_sections, number_cell, rate_cell
from mfas.report.tables import Cell, Row

Result = Mapping[str, Any]
_READING = (
    "Agreement is the share of captures of other people on which clone and model decide alike; two unrelated systems "
    "with the same accept rates agree by chance in the share in small print.",
    "The thief has captures without labels, knows the preprocessing and not the architecture, and asks in rounds.",
    "Transfer is the share of attacks, perturbed on the clone, that the model accepts: what a theft is good for.",
    "The detector's limits come from half of the benign traffic; its false alarms are counted on the other half.",
)


def write_steal(result: Result, path: Path, *, command: str = "") -> None:
    """Write the page atomically. ``result`` is what stands in ``steal.json``."""
    write_text(path, build_steal(result, command=command))


def build_steal(result: Result, *, command: str = "") -> str:
    """The page as text; the same result gives the same bytes."""
    names = [str(model["name"]) for model in result["models"]]
    captures = result["captures"]
    subtitle = (
        f"{Path(result['manifest']).name}: clones of {_text.listing(names)} from {captures['pool']} captures in the "
        f"thief's hand, compared on {captures['test']} of other people"
    )
    sections = [
        Section("clones", "Clones", _CLONES, [_clones(result, name) for name in names]),
        Section("learning", "Victims that learn from the queries", _LEARNING, [_learners(result)]),
        Section("detector", "The detector of query streams", _DETECTOR, [_detectors(result)]),
    ]
    return build_sections(
        "Audit: a model stolen by its answers", subtitle, result["findings"], sections, _READING,
        command=command, environment=result["environment"],
    )  # fmt: skip


_CLONES = "One clone per row. HTER is the clone's against the truth, the model's own in small print."
_LEARNING = (
    "Error rates of the model on clean captures before and after it learnt from the thief's queries; guarded: nothing "
    "is learnt while queries are unlike the traffic before them."
)
_DETECTOR = "What benign windows stay within, and how often other benign windows do not."


def _clones(result: Result, victim: str) -> Table:
    rows = []
    for row in (row for row in result["clones"] if row["victim"] == victim):
        alarm = _text.DASH if row["alarm"] is None else str(row["alarm"])
        difference = row["mean_difference"]
        cells = (
            Cell(str(row["asked"])),
            rate_cell(row["agreement"], f"chance {_text.percent(row['by_chance'])}", shaded=False),
            number_cell(difference),
            rate_cell(row["hter"], f"model {_text.percent(row['victim_hter'])}", shaded=False),
            rate_cell(row["transfer"], f"clean {_text.percent(row['transfer_clean'])}"),
            rate_cell(row["white_box"]),
            Cell(alarm, "" if row["alarms"] is None else f"{_text.percent(row['alarms'], 0)} of windows"),
        )
        rows.append(Row(f"{row['strategy']}, {row['answers']}", row["defence"], cells))
    head = ["", "queries", "agreement", "score off by", "HTER", "transfer", "white box", "first alarm at query"]
    return Table(head, rows, victim)


def _learners(result: Result) -> Table:
    rows = []
    for row in (row for row in result["clones"] if row["defence"].startswith("learning")):
        before, after = row["victim_before"], row["victim_after"]
        rates = [side[key] for key in ("apcer", "bpcer") for side in (before, after)]
        cells = [Cell(str(row["asked"])), Cell(str(row["updates"])), *(rate_cell(r, shaded=False) for r in rates)]
        rows.append(Row(row["victim"], f"{row['strategy']}, {row['answers']}; {row['defence']}", tuple(cells)))
    return Table(["", "queries", "updates", "APCER before", "after", "BPCER before", "after"], rows)


def _detectors(result: Result) -> Table:
    rows = []
    for facts in result["detectors"]:
        spans = [f"{facts[key][0]:.3f} {_text.DASH} {facts[key][1]:.3f}" for key in ("unsure", "distance")]
        cells = (*map(Cell, spans), Cell(str(facts["benign_windows"])), rate_cell(facts["false_alarms"]))
        rows.append(Row(facts["victim"], f"windows of {facts['window']}", cells))
    return Table(["", "share of unsure queries", "median nearest distance", "benign windows", "false alarms"], rows)
