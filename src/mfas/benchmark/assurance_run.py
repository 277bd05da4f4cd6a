"""`mfas audit report`: everything measured of a model on one page that an evaluator would sign."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from mfas._files import make_folder, sha256
from mfas.benchmark.assurance_findings import weaknesses
from mfas.benchmark.assurance_parts import KINDS, NAMES, Part, read_part
from mfas.card import CARD_FILE, Card
from mfas.config import Config, environment, write_resolved
from mfas.errors import InputError
from mfas.report.assurance_data import AssuranceData, AssurancePart
from mfas.report.assurance_page import write_assurance
from mfas.weights import default_directory


class AssuranceConfig(Config):
    """Configuration of `mfas audit report`. ``model`` None = the default weights of the package."""

    model: Path | None = None
    part: tuple[Path, ...] = Field((), description="JSON that other verbs wrote")
    out: Path
    write_card: bool = Field(False, description="put the weaknesses found into the model's card")

    @field_validator("out")
    @classmethod
    def _page(cls, value: Path) -> Path:
        if value.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"expected a page named .html, got {value}")
        return value


def report_assurance(config: AssuranceConfig) -> dict[str, Any]:
    """Write the page ``OUT`` and ``NAME.config.json`` beside it; returns a JSON-safe summary.

    Weaknesses are those the parts show by rule (`assurance_findings`) and those already in the card. With
    ``write_card`` the parts' own replace the card's; the card's bytes change with that, and states adapted from the
    model name the card by its hash. Raises `InputError` for a part that is unknown, unreadable, given twice, or of
    other weights, and `ModelDirError`.
    """
    directory = config.model or default_directory()
    card = Card.read(directory)
    parts = sorted(_parts(config, card), key=lambda part: NAMES.index(part.kind))
    found = weaknesses(parts)
    if config.write_card:
        card = card.model_copy(update={"weaknesses": tuple(found)})
        card.write(directory)
    told = list(dict.fromkeys((*found, *card.weaknesses)))
    absent = [kind for kind in KINDS if kind.name not in {part.kind for part in parts}]
    make_folder(config.out.parent)
    data = AssuranceData(
        name=f"{card.model}, trained on {', '.join(card.sources) or 'unknown captures'}",
        model=list(_facts(card, directory)),
        weights=sorted(card.files.items()),
        thresholds=card.thresholds,
        limits=_limits(card, parts),
        weaknesses=told,
        parts=[_section(part) for part in parts],
        absent=[(kind.title, kind.command) for kind in absent],
        command=_command(config),
        environment=environment(),
    )
    write_assurance(data, config.out)
    write_resolved(config, config.out.parent, "audit report", name=f"{config.out.stem}.config.json")
    return {
        "page": str(config.out),
        "parts": {part.name: part.kind for part in parts},
        "not_measured": [kind.name for kind in absent],
        "weaknesses": told,
        "card_written": config.write_card,
    }


def brief(result: dict[str, Any]) -> dict[str, Any]:
    """The summary as a person at a terminal wants it: a line for each weakness."""
    return result | {"weaknesses": "\n".join(result["weaknesses"]) if result["weaknesses"] else "none known"}


def _parts(config: AssuranceConfig, card: Card) -> Iterator[Part]:
    seen: set[str] = set()
    for path in config.part:
        part = read_part(path, card, (config.model or default_directory()).resolve().name)
        if part.digest in seen:
            raise InputError(f"expected each part once, got {path} twice")
        seen.add(part.digest)
        yield part


def _section(part: Part) -> AssurancePart:
    titles = {kind.name: kind.title for kind in KINDS}
    return AssurancePart(
        kind=part.kind,
        title=titles[part.kind],
        file=part.name,
        digest=part.digest,
        command=part.command,
        own=bool(part.own),
        content=part.content,
        findings=part.findings,
        config=part.config,
        environment=part.environment,
    )


def _facts(card: Card, directory: Path) -> Iterator[tuple[str, str]]:
    yield "Model", card.model
    yield "Sensors", ", ".join(m.value for m in card.modalities)
    yield "Trained on", ", ".join(card.sources) or "unknown"
    captures = card.training.get("captures")
    if isinstance(captures, dict):
        yield "Captures", ", ".join(f"{count} {split}" for split, count in captures.items())
    species = card.training.get("species")
    if isinstance(species, dict):
        yield "Attacks seen in training", ", ".join(sorted(species)) or "none"
    yield "Licence", card.licence
    if card.adapted is not None:
        yield "Adapted by", f"{card.adapted.method}, {card.adapted.updates} updates at {', '.join(card.adapted.sites)}"
    yield "SHA-256 of the card", sha256(directory / CARD_FILE)


def _limits(card: Card, parts: list[Part]) -> list[str]:
    out = [f"The card says: {card.notice}."] if card.notice else []
    absent = [m.value for m in card.unknown_modalities()]
    out += [f"The model was never trained on {', '.join(absent)} and is not asked about it."] if absent else []
    species = card.training.get("species")
    if isinstance(species, dict) and species:
        out.append(f"Attacks other than {', '.join(sorted(species))} were never seen in training.")
    if any("simulator" in part.environment for part in parts):
        out.append("Parts whose versions name a simulator were measured on simulated captures.")
    out.append("Thresholds hold for captures like those of source validation; another camera needs its own.")
    out.append("One score per capture or presentation; an injected video stream is not seen as one.")
    return out


def _command(config: AssuranceConfig) -> str:
    model = f" --model {config.model}" if config.model else ""
    parts = "".join(f" --part {path}" for path in config.part)
    return f"mfas audit report{model}{parts} --out {config.out}{' --write-card' if config.write_card else ''}"
