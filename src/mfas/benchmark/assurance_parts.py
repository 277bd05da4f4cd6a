"""What an assurance report is gathered from: JSON that other verbs wrote, recognised by its ``kind`` or its shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfas._files import read_json, sha256
from mfas.card import WEIGHTS_FILE, Card
from mfas.errors import InputError


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of part: its place in the report is its place in `KINDS`; ``command`` makes one."""

    name: str
    title: str
    command: str


KINDS: tuple[Kind, ...] = (
    Kind("evaluation", "Error rates (ISO/IEC 30107-3)", "mfas evaluate scores.parquet --threshold T"),
    Kind("streams", "Adaptation streams", "mfas benchmark --config B.yaml"),
    Kind("search", "Plausible attacks, searched", "mfas audit search --site S"),
    Kind("attack", "Perturbed attacks", "mfas audit attack --manifest M.parquet"),
    Kind("steal", "Stealing by queries", "mfas audit steal --manifest M.parquet"),
    Kind("explanation", "Explanation of a decision", "mfas explain --rgb F --depth F --ir F --out DIR"),
    Kind("smoothing", "Label smoothing", "python benchmarks/smoothing.py"),
)
"""Everything that a report has a section for, in order."""
NAMES = tuple(kind.name for kind in KINDS)


@dataclass(frozen=True, slots=True)
class Part:
    """One file: what it is, its ``content``, its SHA-256, the ``command`` and versions it tells of itself.

    ``own`` tells whether it was measured on the weights of the report; None where it names none. ``findings`` are its
    sentences about this model.
    """

    kind: str
    name: str
    digest: str
    command: str
    environment: Mapping[str, Any]
    config: Mapping[str, Any]
    content: Mapping[str, Any]
    own: bool | None
    findings: tuple[str, ...]


def read_part(path: Path, card: Card, name: str) -> Part:
    """Read one file about the model of ``card``, whose directory is called ``name``.

    Raises `InputError` for a file that is none of `KINDS` or was measured on other weights.
    """
    content = read_json(path, "part of the report")
    if not isinstance(content, dict):
        raise InputError(f"expected a JSON object in {path}, got {type(content).__name__}")
    kind = _kind(content, path)
    own = _belongs(content, card)
    if own is False:
        raise InputError(f"{path} was measured on other weights than those of the model given")
    beside = _beside(path)
    return Part(
        kind=kind,
        name=path.name,
        digest=sha256(path),
        command=str(content.get("command") or (beside.get("verb") and f"mfas {beside['verb']}") or ""),
        environment=_mapping(content.get("environment")),
        config=_mapping(content.get("config")) or _mapping(beside.get("config")),
        content=content,
        own=own,
        findings=tuple(_findings(content, name, path)),
    )


def _kind(content: Mapping[str, Any], path: Path) -> str:
    named = content.get("kind")
    if named is None:
        named = _by_shape(content)
    if named not in NAMES:
        what = "a file of no known shape" if named is None else f"kind '{named}'"
        raise InputError(f"{path}: expected a part of kind {', '.join(NAMES)}, got {what}")
    if content.get("schema", 1) != 1:
        raise InputError(f"{path}: expected a part of schema 1, got {content['schema']}")
    return str(named)


def _by_shape(content: Mapping[str, Any]) -> str | None:
    """Files from before parts had a ``kind``: ``evaluation.json``, ``results.json``, and those whose keys tell."""
    runs = content.get("runs")
    if isinstance(runs, list) and runs and all(isinstance(run, dict) for run in runs):
        if "threshold_origin" in runs[0]:
            return "evaluation"
        return "streams" if "hter" in runs[0] and "method" in runs[0] else None
    tells = {
        "attack": {"matrix", "transfer"},
        "steal": {"clones", "detectors"},
        "explanation": {"explanation", "decision"},
    }
    return next((name for name, keys in tells.items() if keys <= content.keys()), None)


def _belongs(content: Mapping[str, Any], card: Card) -> bool | None:
    """Whether one of the SHA-256 that a file tells of its model's weights is the card's; None where it tells none."""
    told = [content.get("model"), *(content.get("models") or ())]
    digests = {
        str(files[WEIGHTS_FILE])
        for entry in told
        if isinstance(entry, dict) and isinstance(files := entry.get("files"), dict) and WEIGHTS_FILE in files
    }
    return card.files.get(WEIGHTS_FILE) in digests if digests else None


def _findings(content: Mapping[str, Any], name: str, path: Path) -> Iterator[str]:
    """Sentences of a file; of one about several models those that begin with the name of this one."""
    told = [str(sentence) for sentence in content.get("findings") or () if isinstance(sentence, str)]
    models = [str(entry.get("name")) for entry in content.get("models") or () if isinstance(entry, dict)]
    own = [one for one in models if one == name or one.startswith(f"{name} + ")]
    if len(models) > 1 and not own:
        raise InputError(f"{path} is about {', '.join(models)}, expected one of them to be '{name}'")
    for sentence in told:
        if len(models) < 2 or any(sentence.startswith(f"{one}: ") for one in own):
            yield sentence


def _beside(path: Path) -> Mapping[str, Any]:
    """The configuration that the verb wrote beside its result, where there is one."""
    file = path.with_name("config.json")
    return _mapping(read_json(file, "configuration")) if file.is_file() and file != path else {}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
