"""The page of ``mfas audit attack``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mfas._files import write_text
from mfas.report import _text
from mfas.report.sections import Section, Table, build_sections, number_cell, rate_cell
from mfas.report.tables import Row

Result = Mapping[str, Any]
_READING = (
    "Rates are shares of attack captures accepted at the threshold that the model's card has for the sensors at work; "
    "small print: exact 95 % intervals (Clopper-Pearson) over captures, which of one presentation are not independent.",
    "A perturbation changes what reaches the network after the crop. Somebody at a camera cannot place it pixel by "
    "pixel: rates are a worst case for who controls the images between sensor and model, and a bound for who does not.",
    "The row 'clean' holds attacks as they are. Where a perturbed modality is taken away, the rate is that of 'clean'.",
    "A search that finds little proves little: the check of the search says whether more effort finds more.",
)


def write_attack(result: Result, path: Path, *, command: str = "") -> None:
    """Write the page atomically. ``result`` is what stands in ``attack.json``."""
    write_text(path, build_attack(result, command=command))


def build_attack(result: Result, *, command: str = "") -> str:
    """The page as text; the same result gives the same bytes."""
    budget = ", ".join(f"{name} {value:g}" for name, value in result["budget"].items())
    captures = result["captures"]
    subtitle = (
        f"{Path(result['manifest']).name}: {captures['attack']} attack captures against "
        f"{_text.listing([model['name'] for model in result['models']])}; budgets in steps of 255: {budget}"
    )
    sections = [
        Section("matrix", "What was attacked, what decides", _MATRIX, [_matrix(result, m) for m in _names(result)]),
        Section("species", "By species", _SPECIES, [_species(result, m) for m in _names(result)]),
        Section("transfer", "From model to model", _TRANSFER, [_transfer(result)]),
        Section("strength", "The check of the search", _STRENGTH, [_strength(result)]),
        Section("residual", "The complement residual", _RESIDUAL, [_residual(result)]),
        Section("patches", "One patch for everybody", _PATCH, [_patches(result)]),
        Section(
            "stream", "In the stream of a model that learns", _STREAM, [_stream(result, m) for m in _names(result)]
        ),
    ]
    environment = result["environment"]
    return build_sections(
        "Audit: perturbed attacks", subtitle, result["findings"], sections, _READING,
        command=command, environment=environment,
    )  # fmt: skip


_MATRIX = "Rows: what may change. Columns: the sensors that decide. Small print: exact interval."
_SPECIES = "Accept rates with every sensor at work."
_TRANSFER = (
    "Perturbed against the model of the row, shown to the model of the column; in brackets what that model accepts "
    "unperturbed."
)
_STRENGTH = "Kind 'all': effort is varied, one thing at a time. Mean fused logit below the rate. Neither may fall."
_RESIDUAL = (
    "AUC of 1 - cosine between a modality's feature and what the others say of it, for noise in that modality alone: "
    "against the same attacks unperturbed, against living faces, and of unperturbed attacks against faces."
)
_PATCH = "The same small patch on every capture, at its best place. Few captures are searched on, more are judged."
_STREAM = (
    "Half of the people give the stream, others the clean probe. In each pair of columns: after the stream as it is, "
    "and after the same stream with a share of its attacks perturbed so as to be taught as living."
)


def _names(result: Result) -> list[str]:
    return [str(model["name"]) for model in result["models"]]


def _matrix(result: Result, victim: str) -> Table:
    cells = {(row["kind"], row["missing"]): row for row in result["matrix"] if row["victim"] == victim}
    patterns = list(dict.fromkeys(missing for _, missing in cells))
    rows = []
    for kind in dict.fromkeys(kind for kind, _ in cells):
        found = [cells[kind, missing] for missing in patterns]
        shown = [rate_cell(cell["accepted"], _text.span(cell.get("interval"))) for cell in found]
        taught = cells.get((kind, ""), {}).get("taught")
        meaning = result["kinds"].get(kind, "attacks as they are")
        rows.append(Row(_text.plain(kind), meaning, (*shown, rate_cell(taught)), baseline=kind not in result["kinds"]))
    head = ["", *(_text.pattern(missing) for missing in patterns), "taught as living"]
    return Table(head, rows, victim)


def _species(result: Result, victim: str) -> Table:
    full = [row for row in result["matrix"] if row["victim"] == victim and row.get("by_species")]
    names = sorted({name for row in full for name in row["by_species"]})
    rows = [
        Row(_text.plain(row["kind"]), "", tuple(rate_cell(row["by_species"].get(name)) for name in names))
        for row in full
    ]
    return Table(["", *map(_text.plain, names)], rows, victim)


def _transfer(result: Result) -> Table:
    names = _names(result)
    found = {(row["kind"], row["from"], row["to"]): row for row in result["transfer"]}
    rows = []
    for kind, source in dict.fromkeys((kind, source) for kind, source, _ in found if len(names) > 1):
        cells = [found[kind, source, to] for to in names]
        shown = tuple(rate_cell(cell["accepted"], f"({_text.percent(cell['clean'])})") for cell in cells)
        rows.append(Row(_text.plain(kind), f"against {source}", shown))
    return Table(["", *names], rows)


def _strength(result: Result) -> Table:
    names = _names(result)
    found = {(row["varied"], row["value"], row["victim"]): row for row in result["strength"]}
    rows = []
    for varied, value in dict.fromkeys((varied, value) for varied, value, _ in found):
        cells = [found[varied, value, name] for name in names]
        shown = tuple(rate_cell(cell["accepted"], f"logit {cell['objective']:.2f}") for cell in cells)
        rows.append(Row(f"{varied} {value:g}" + (" x" if varied == "budget" else ""), "", shown))
    return Table(["", *names], rows)


def _residual(result: Result) -> Table:
    rows = [
        Row(row["modality"], row["victim"], tuple(number_cell(row[key]) for key in _AUCS)) for row in result["residual"]
    ]
    return Table(["", "against itself", "against faces", "unperturbed against faces"], rows)


_AUCS = ("auc_same", "auc_bona_fide", "auc_clean")


def _patches(result: Result) -> Table:
    rows = [
        Row(
            row["modality"],
            row["victim"],
            (
                rate_cell(row["clean"]),
                rate_cell(row["accepted"]),
                number_cell(row["shift"]),
                number_cell(row["lowest"]),
                number_cell(row["side"], 0, f"row {row['top']}, column {row['left']}"),
            ),
        )
        for row in result["patches"]
    ]
    return Table(["", "without", "with", "mean change of logit", "smallest", "pixels a side"], rows)


def _stream(result: Result, victim: str) -> Table:
    found = [row for row in result["stream"] if row["victim"] == victim]
    rows = []
    for variant in dict.fromkeys(row["variant"] for row in found):
        pair = [row for row in found if row["variant"] == variant]
        calm, hostile = pair[0], pair[-1]
        cells = []
        for key in ("apcer", "apcer_max", "bpcer"):
            cells += [rate_cell(calm[key], shaded=False), rate_cell(hostile[key], shaded=False)]
        taught = f"{hostile['taught']} of {hostile['perturbed']}" if len(pair) > 1 else _text.DASH
        cells += [number_cell(calm["updates"], 0), number_cell(hostile["updates"], 0, f"taught {taught}")]
        rows.append(Row(variant, "", tuple(cells), baseline=len(pair) == 1))
    head = ["", *(f"{name}{part}" for name in _STREAM_HEAD for part in ("", ", attacked"))]
    return Table(head, rows, victim)


_STREAM_HEAD = ("APCER", "APCER worst species", "BPCER", "updates")
