"""Canaries: labelled captures, of a source or of the site, that every candidate is scored on before it may serve.

None is shipped: a card holds figures, no captures. A site without any can be at most in ``approve`` mode.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfas.card import Card
from mfas.core import MODALITIES, UNKNOWN_SPECIES, Batch, Label, Prediction, format_modalities
from mfas.data.dataset import batches
from mfas.data.manifest import Manifest, read_manifest
from mfas.errors import ConfigError
from mfas.service.verdicts import CanaryChange, CanaryFigures

_BATCH = 32
Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Canary:
    """Captures with their truth. ``thresholds`` are the source's for what each capture lacks; ``digest`` covers images.

    Raises `ConfigError` unless both classes are there.
    """

    name: str
    digest: str
    batches: tuple[Batch, ...]
    species: tuple[str, ...]
    bona_fide: NDArray[np.bool_]
    thresholds: Scores

    def __post_init__(self) -> None:
        if not self.bona_fide.any() or self.bona_fide.all():
            raise ConfigError(f"expected captures of both classes in the {self.name} canary, got one class")

    def scores(self, predict: Callable[[Batch], Prediction]) -> Scores:
        """What a model says of every capture."""
        return np.concatenate([predict(batch).score.numpy() for batch in self.batches]).astype(np.float64)

    def figures(self, scores: Scores) -> CanaryFigures:
        """Errors at the source thresholds; a score that is not finite is an error."""
        accepted = scores >= self.thresholds
        wrong = ~np.isfinite(scores) | (accepted != self.bona_fide)
        names = np.array(self.species)
        known = sorted({name for name, genuine in zip(self.species, self.bona_fide, strict=True) if not genuine})
        return CanaryFigures(
            bona_fide=int(self.bona_fide.sum()),
            attacks=int((~self.bona_fide).sum()),
            bpcer=float(wrong[self.bona_fide].mean()),
            apcer={name: float(wrong[~self.bona_fide & (names == name)].mean()) for name in known},
        )

    def change(self, before: Scores, after: Scores) -> CanaryChange:
        """The figures of both, how many decisions differ, and the largest rise of an attack's score."""
        finite = bool(np.isfinite(before).all() and np.isfinite(after).all())
        flips = float(((before >= self.thresholds) != (after >= self.thresholds)).mean())
        rise = float((after - before)[~self.bona_fide].max())
        figures = self.figures(before), self.figures(after)
        return CanaryChange(self.name, self.digest, *figures, flips if finite else nan, rise if finite else nan)


def read_canary(name: str, place: Path, card: Card, *, yunet: Path | None = None) -> Canary:
    """The labelled captures of a manifest, or of the folder that holds ``manifest.parquet`` or ``manifest.csv``.

    What the model was not trained on is left away; captures without a face are left out. Raises `InputError`.
    """
    manifest = read_manifest(_manifest_in(place), require_labels=True)
    unknown = format_modalities(card.unknown_modalities())
    kept: list[Batch] = []
    rows: list[int] = []
    for item in batches(manifest, card.preprocess, _BATCH, missing=unknown, yunet=yunet):
        if item.batch is not None:
            kept.append(item.batch)
            rows += item.rows
    if not rows:
        raise ConfigError(f"expected captures that can be judged in the {name} canary {place}, got none")
    labels, species = manifest.column("label"), manifest.column("species")
    genuine = np.array([labels[row] == Label.BONA_FIDE.value for row in rows])
    return Canary(
        name=name,
        digest=_digest(manifest),
        batches=tuple(kept),
        species=tuple("" if g else str(species[row]) or UNKNOWN_SPECIES for g, row in zip(genuine, rows, strict=True)),
        bona_fide=genuine,
        thresholds=np.array([card.threshold(lacking) for batch in kept for lacking in _missing(batch)]),
    )


def _manifest_in(place: Path) -> Path:
    if not place.is_dir():
        return place
    for name in ("manifest.parquet", "manifest.csv"):
        if (place / name).is_file():
            return place / name
    raise ConfigError(f"expected manifest.parquet or manifest.csv in {place}, found neither")


def _missing(batch: Batch) -> list[str]:
    pairs: list[list[Any]] = batch.present.tolist()
    return [format_modalities(m for m, seen in zip(MODALITIES, row, strict=True) if not seen) for row in pairs]


def _digest(manifest: Manifest) -> str:
    """One hash over labels and image bytes: a canary whose pictures were exchanged is another canary."""
    total = hashlib.sha256()
    for row in manifest:
        total.update(f"{row.capture_id}\n{row.label}\n{row.species}\n".encode())
        for modality in row.modalities:
            with (manifest.root / row.path(modality)).open("rb") as handle:
                total.update(hashlib.file_digest(handle, "sha256").digest())
    return total.hexdigest()
