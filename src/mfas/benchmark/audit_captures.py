"""Models and captures that an audit works on: loaded once, drawn by a seed, people kept apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from mfas._files import read_json, sha256, write_json
from mfas.adaptation.guards.labelled import LabelledSet
from mfas.adaptation.saving import STATE_FILE, deploy
from mfas.audit.victim import Victim
from mfas.card import CARD_FILE, WEIGHTS_FILE, Card, Preprocess
from mfas.config import Config, environment, write_resolved
from mfas.core import MODALITIES, Batch, Label, Modality
from mfas.data.dataset import CachedTensors
from mfas.data.manifest import Manifest, read_manifest
from mfas.errors import ConfigError, InputError, ModelDirError, StateError
from mfas.models.store import load_model
from mfas.weights import default_directory


class AuditConfig(Config):
    """What audits of weights have in common: models and their states, captures, a folder, chance, and processors."""

    model: tuple[Path, ...] = Field((), description="model directories; none = the default weights")
    delta: tuple[Path, ...] = Field((), description="adapted states of these models, audited besides")
    manifest: Path
    out: Path
    split: str | None = None
    seed: int = Field(0, ge=0)
    threads: int = Field(0, ge=0, description="0 = as many as torch chooses")
    workers: int = Field(1, ge=0)


@dataclass(frozen=True, slots=True)
class Opened:
    """An audit that has begun: who is audited, on what, without which modalities, and since when."""

    victims: tuple[Victim, ...]
    manifest: Manifest
    gone: tuple[Modality, ...]
    start: float

    def captures(self, rows: Iterable[int], workers: int) -> AuditCaptures:
        """Those rows, as the models see them."""
        return AuditCaptures(self.manifest, rows, self.victims[0].card.preprocess, self.gone, workers)


def open_audit(config: AuditConfig) -> Opened:
    """Read models and captures; nothing is written. Raises what `load_victims` and `read_audit_manifest` raise."""
    if config.threads:
        torch.set_num_threads(config.threads)
    start = perf_counter()
    victims = load_victims(config.model, config.delta)
    manifest = read_audit_manifest(config.manifest, config.split)
    gone = sorted({m for victim in victims for m in victim.card.unknown_modalities()})
    return Opened(victims, manifest, tuple(gone), start)


Findings = Callable[[Mapping[str, Any]], list[str]]
"""Sentences from a result."""


class WritePage(Protocol):
    """Writes a page."""

    def __call__(self, result: Mapping[str, Any], path: Path, *, command: str = "") -> None:
        """Write what a reader should see of ``result`` to ``path``; ``command`` made it."""


def finish_audit(
    found: dict[str, Any], findings: Findings, config: AuditConfig, opened: Opened, verb: str, page: WritePage
) -> dict[str, Any]:
    """Add models, ``findings``, time and versions to what was ``found``; write it, its page and ``config.json``."""
    path = config.out / f"{verb}.html"
    result = {"manifest": str(config.manifest), "models": model_facts(opened.victims), **found}
    result["findings"] = findings(result)
    result |= {"seconds": perf_counter() - opened.start, "page": str(path), "environment": environment()}
    write_json(path.with_suffix(".json"), result)
    page(result, path, command=f"mfas audit {verb} --manifest {config.manifest.name}")
    write_resolved(config, config.out, f"audit {verb}")
    return result


def load_victims(models: Sequence[Path], deltas: Sequence[Path] = ()) -> tuple[Victim, ...]:
    """The models as trained, then each adapted state on top of the one it came from; default weights if none is given.

    Raises `ModelDirError` for a directory without weights (a graph has no gradients), `StateError` for a state of
    another model, `ConfigError` when two models do not see captures alike.
    """
    folders = list(models) or [default_directory()]
    names = [_name(folder, folders) for folder in folders]
    victims = [_load(folder, name) for folder, name in zip(folders, names, strict=True)]
    digests = {sha256(folder / CARD_FILE): (folder, name) for folder, name in zip(folders, names, strict=True)}
    for delta in deltas:
        origin = str(read_json(delta / STATE_FILE, "adaptation state", StateError).get("origin", {}).get("model"))
        if origin not in digests:
            raise StateError(f"{delta}: expected a state adapted from one of {', '.join(names)}, got one of another")
        folder, name = digests[origin]
        victim = _load(folder, f"{name} + {delta.name}")
        deploy(victim.model, delta, {"model": origin})
        victims.append(victim)
    for victim in victims[1:]:
        if victim.card.preprocess != victims[0].card.preprocess:
            raise ConfigError(f"expected models that see captures alike, got {victims[0].name} and {victim.name}")
    return tuple(victims)


def _load(folder: Path, name: str) -> Victim:
    card = Card.read(folder)
    if WEIGHTS_FILE not in card.files:
        raise ModelDirError(f"{folder}: expected weights ({WEIGHTS_FILE}), for an audit follows gradients, got none")
    return Victim(name, *load_model(folder))


def _name(folder: Path, folders: Sequence[Path]) -> str:
    same = [other for other in folders if other.resolve().name == folder.resolve().name]
    own = folder.resolve()
    return own.name if len(same) == 1 else f"{own.parent.name}/{own.name}"


class AuditCaptures:
    """Captures of a labelled manifest by row, decoded once.

    Rows without a face are counted in ``lost``. Modalities in ``gone`` are taken away from every capture.
    """

    def __init__(
        self, manifest: Manifest, rows: Iterable[int], spec: Preprocess, gone: Sequence[Modality] = (), workers: int = 1
    ) -> None:
        wanted = np.array(sorted(set(rows)), np.int64)
        self.manifest = manifest
        self.tensors = CachedTensors(manifest.take(wanted), spec, workers=workers)
        self._gone = tuple(gone)
        self._at = {int(wanted[row]): place for place, row in enumerate(self.tensors.rows)}
        self.lost = len(wanted) - len(self._at)

    def known(self, rows: Iterable[int]) -> list[int]:
        """Those of ``rows`` that can be shown."""
        places = [(row, self._at[row]) for row in rows if row in self._at]
        if not places:
            return []
        present = self.tensors.batch([at for _, at in places], self._gone).present.any(dim=1).tolist()
        return [row for (row, _), seen in zip(places, present, strict=True) if seen]

    def batch(self, rows: Sequence[int]) -> Batch:
        """Known rows as one batch."""
        return self.tensors.batch([self._at[row] for row in rows], self._gone)

    def batches(self, rows: Sequence[int], size: int) -> list[Batch]:
        """Known rows in order, ``size`` at a time."""
        return [self.batch(rows[start : start + size]) for start in range(0, len(rows), size)]

    def labelled(self, rows: Sequence[int], size: int, threshold: float) -> LabelledSet:
        """Known rows with their labels, to measure with."""
        labels, species = self.manifest.column("label"), self.manifest.column("species")
        return LabelledSet(
            batches=tuple(self.batches(rows, size)),
            labels=tuple(Label(labels[row]) for row in rows),
            species=tuple(str(species[row]) for row in rows),
            threshold=threshold,
            digest="audit",
        )

    def truth(self, rows: Sequence[int]) -> tuple[torch.Tensor, list[str]]:
        """Whether each row is bona fide, bool ``[N]``, and its species."""
        labels, species = self.manifest.column("label"), self.manifest.column("species")
        genuine = torch.tensor([labels[row] == Label.BONA_FIDE.value for row in rows], dtype=torch.bool)
        return genuine, [str(species[row]) for row in rows]


def read_audit_manifest(path: Path, split: str | None) -> Manifest:
    """A labelled manifest with both classes; `InputError` says what is missing."""
    manifest = read_manifest(path, require_labels=True)
    manifest = manifest.filter(split=split) if split else manifest
    counts = manifest.counts("label")
    for label in Label:
        if not counts.get(label.value):
            raise InputError(f"expected {label.value} captures in {path}, got none (split {split or 'any'})")
    return manifest


def rows_of(manifest: Manifest, label: Label, species: Sequence[str] = ()) -> NDArray[np.int64]:
    """Rows of a class, of the ``species`` named if any; `ConfigError` for one that the manifest has not."""
    column = manifest.column("species")
    rows = np.flatnonzero(manifest.column("label") == label.value)
    known = sorted(set(column[rows].tolist()))
    for name in species:
        if name not in known:
            raise ConfigError(f"expected species out of {', '.join(known)}, got '{name}'")
    return rows if not species else rows[np.isin(column[rows].astype(str), list(species))]


def draw(manifest: Manifest, rows: NDArray[np.int64], count: int, seed: int) -> list[int]:
    """At most ``count`` of ``rows``: as many presentations as there are before any comes twice, species in turn."""
    presentation, species = manifest.column("presentation_id"), manifest.column("species")
    times: Counter[str] = Counter()
    turn: Counter[tuple[int, str]] = Counter()
    keyed = []
    for row in np.random.default_rng(seed).permutation(rows).tolist():
        visit = times[presentation[row]]
        times[presentation[row]] += 1
        keyed.append((visit, turn[visit, species[row]], row))
        turn[visit, species[row]] += 1
    keyed.sort(key=lambda one: one[:2])
    return [row for _, _, row in keyed[:count]]


def draw_balanced(manifest: Manifest, rows: NDArray[np.int64], count: int, seed: int) -> list[int]:
    """At most ``count`` of ``rows``, half of each class, each half drawn as by `draw`."""
    label = manifest.column("label")[rows]
    parts = [rows[label == name.value] for name in Label]
    return [row for part in parts for row in draw(manifest, part, count // 2, seed)]


def roles(manifest: Manifest, shares: dict[str, float], seed: int) -> dict[str, NDArray[np.int64]]:
    """Rows by role, people (presentations where nobody is named) kept apart; ``shares`` of the people per role."""
    subject = manifest.column("subject")
    owner = np.where(subject == "", manifest.column("presentation_id"), subject).astype(str)
    names = np.random.default_rng(seed).permutation(np.unique(owner))
    edges = np.round(np.cumsum(list(shares.values())) * len(names)).astype(int)
    parts = np.split(names, edges[:-1])
    return {role: np.flatnonzero(np.isin(owner, part)) for role, part in zip(shares, parts, strict=True)}


def both_classes(manifest: Manifest, rows: Sequence[int], what: str) -> None:
    """Raise `InputError` unless ``rows`` hold bona fide captures and attacks."""
    labels = set(manifest.column("label")[list(rows)].tolist()) if len(rows) else set()
    for label in Label:
        if label.value not in labels:
            raise InputError(f"expected {label.value} captures of enough people for {what}, got none")


def model_facts(victims: Sequence[Victim]) -> list[dict[str, Any]]:
    """What tables name a model by."""
    return [
        {
            "name": victim.name,
            "model": victim.card.model,
            "threshold": victim.card.threshold(),
            "modalities": [m.value for m in MODALITIES if m in victim.card.modalities],
        }
        for victim in victims
    ]
