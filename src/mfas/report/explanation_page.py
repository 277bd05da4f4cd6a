"""The page of ``mfas explain``: one verdict, which sensor it rests on, where, and how far to trust that."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfas._files import write_text
from mfas.core import MODALITIES, Label, Modality, parse_modalities
from mfas.report import _text, explanation_figure, tables
from mfas.report._images import data_uri
from mfas.report._overlay import SIDE, overlay_uri
from mfas.report._render import render
from mfas.report._text import MODALITY_NAMES
from mfas.report.tables import Cell, Row

_NAMED = 4
"""Sites that are named one by one."""
_ABSENT = {
    "complements": "A modality that is taken away is replaced by what the model's own complements make of the others.",
    "some_complements": "A modality that is taken away is replaced by the model's complement where it has one; the "
    "others are treated as the model treats a sensor that is missing.",
    "as_missing": "This model has no complements: a modality that is taken away is treated as the model treats a "
    "sensor that is missing.",
}


def write_explanation(
    result: Mapping[str, Any],
    pictures: Mapping[Modality, bytes],
    maps: Mapping[Modality, NDArray[np.float32]],
    path: Path,
) -> None:
    """Write the page atomically; arguments as in `build_explanation`."""
    write_text(path, build_explanation(result, pictures, maps))


def build_explanation(
    result: Mapping[str, Any], pictures: Mapping[Modality, bytes], maps: Mapping[Modality, NDArray[np.float32]]
) -> str:
    """The page as text; the same data give the same bytes.

    ``result`` is what stands in ``explanation.json``, ``pictures`` holds an image file's bytes and ``maps`` the cells
    ``[h, w]`` of each modality.
    """
    made = result["explanation"]
    signed = made["saliency"] != "gradient"
    return render(
        "explanation.html.j2",
        result=result,
        title=f"called {_called(result)}",
        lead=_lead(result),
        notice=result.get("notice", ""),
        absent=_ABSENT[made["absent"]],
        start=_start(made),
        figure=explanation_figure.figure(result),
        signed=signed,
        tiles=[_tile(m, pictures[m], maps[m], made, signed) for m in MODALITIES if m in maps],
        coalitions=_coalitions(made, result["threshold"]),
        pairs=_pairs(made),
        witnesses=[MODALITY_NAMES[m] for m in parse_modalities(made["present"])],
        influence=_influence(made),
        trust=_trust(made),
        settings=tables.settings({"model": result["model"], "seed": result["seed"], **result["settings"]}),
        environment=tables.settings(result["environment"]),
    )


def _called(result: Mapping[str, Any]) -> str:
    return "bona fide" if result["decision"] == Label.BONA_FIDE.value else "an attack"


def _lead(result: Mapping[str, Any]) -> str:
    made = result["explanation"]
    accepted = result["decision"] == Label.BONA_FIDE.value
    score = f"Score {_text.decimal(result['score'])}, threshold {_text.decimal(result['threshold'])}."
    phi = {Modality(m): value if accepted else -value for m, value in made["phi"].items()}
    order = sorted(phi, key=lambda m: -phi[m])
    spoke = [f"{MODALITY_NAMES[m]} ({_signed(phi[m])})" for m in order if phi[m] > 0]
    against = [f"{MODALITY_NAMES[m]} ({_signed(phi[m])})" for m in order if phi[m] <= 0]
    parts = [score]
    if spoke:
        parts.append(f"For the decision spoke {_text.listing(spoke)}.")
    if against:
        parts.append(f"Against it, or not at all, {_text.listing(against)}.")
    return " ".join([*parts, "In logits, from the value of no modality at all."])


def _start(made: Mapping[str, Any]) -> str:
    empty = made["empty"]
    if empty["kind"] == "source_mean":
        names = empty["sources"]
        sites = f" of {_text.listing(names) if len(names) <= _NAMED else f'{len(names)} sites'}" if names else ""
        return (
            f"The value of no modality, {_signed(empty['logit'])}, is the fused logit on the mean features of "
            f"{empty['captures']} source captures{sites}."
        )
    return (
        f"The value of no modality, {_signed(empty['logit'])}, is the fused logit on features of zero, for want of a "
        "mean of source captures: the origin is arbitrary. Differences between modalities hold, their signs need not."
    )


def _tile(
    modality: Modality, source: bytes, cells: NDArray[np.float32], made: Mapping[str, Any], signed: bool
) -> dict[str, str]:
    return {
        "name": MODALITY_NAMES[modality],
        "plain": data_uri(source, modality, SIDE),
        "over": overlay_uri(source, modality, cells, signed=signed),
        "phi": _signed(made["phi"][modality.value]),
    }


def _coalitions(made: Mapping[str, Any], threshold: float) -> list[Row]:
    rows = []
    for names, logit in made["values"].items():
        head = " + ".join(MODALITY_NAMES[m] for m in parse_modalities(names)) or "none"
        score = 1 / (1 + exp(-logit))
        said = Cell(_text.DASH) if not names else Cell("bona fide" if score >= threshold else "attack")
        rows.append(Row(head, "", (Cell(_signed(logit)), Cell(_text.decimal(score)), said)))
    return rows


def _pairs(made: Mapping[str, Any]) -> list[Row]:
    return [
        Row(" + ".join(MODALITY_NAMES[m] for m in parse_modalities(names)), "", (Cell(_signed(value)),))
        for names, value in made["interactions"].items()
    ]


def _influence(made: Mapping[str, Any]) -> list[Row]:
    rows = []
    for taken, row in made["influence"].items():
        cells = [
            Cell(_text.DASH) if m == taken else Cell(_text.decimal(row[m]), tone=_tone(row[m]))
            for m in made["phi"]
        ]  # fmt: skip
        rows.append(Row(f"without {MODALITY_NAMES[Modality(taken)]}", "", tuple(cells)))
    return rows


def _tone(value: float) -> str:
    return "hot" if value > 0.5 else "warm" if value > 0.25 else ""


def _trust(made: Mapping[str, Any]) -> list[str]:
    synergy, moved, gone = made["synergy"], made["stability"], made["deletion"]
    top = MODALITY_NAMES[Modality(synergy["top"])]
    said = f"without {top} the decision loses {_signed(synergy['drop'])} logits"
    if synergy["drop"] <= 0:
        said = f"without {top} the decision loses nothing ({_signed(synergy['drop'])} logits)"
    beaten = f"{round(100 * gone['beaten'])} % of random orders"
    return [
        f"The parts add up to the whole to within {max(synergy['gap'], 1e-12):.0e} logits; {said}.",
        f"Noise of {moved['noise']:g} input units in all sensors moves the logit by {moved['shift']:.3f}, and the "
        f"share of one sensor by up to {moved['change']:.3f} ({moved['draws']} draws).",
        f"Cells flattened in the order of the maps cost the decision {_signed(gone['mapped'])} logits, in random order "
        f"{_signed(gone['random'])}: the maps beat {beaten}."
        + (" Do not read anything into these maps." if gone["mapped"] <= gone["random"] else ""),
    ]


def _signed(value: float) -> str:
    text = f"{abs(value):.2f}"
    return text if float(text) == 0 else f"{'+' if value > 0 else '−'}{text}"
