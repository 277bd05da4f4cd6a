"""Labelled captures for a guard: read from a manifest under the conditions of the stream that is guarded."""

from __future__ import annotations

from pathlib import Path

from mfas._files import sha256
from mfas.adaptation.guards.labelled import LabelledSet
from mfas.card import Card
from mfas.core import MODALITIES, Batch, Label, format_modalities, parse_modalities
from mfas.data.dataset import batches
from mfas.data.manifest import Manifest, read_manifest
from mfas.errors import InputError

_BATCH = 32


def read_labelled(
    path: Path, stream: Manifest, card: Card, *, missing: str = "", yunet: Path | None = None
) -> LabelledSet:
    """Every answerable capture of the manifest at ``path``, with its label.

    ``missing`` is taken away as it is from the stream, and decides the threshold. Raises `InputError` when an image is
    in the stream as well: a label of the stream must reach no adapter.
    """
    manifest = read_manifest(path, require_labels=True)
    shared = sorted(_images(manifest) & _images(stream))
    if shared:
        raise InputError(f"{path}: expected captures that are not in the stream, got {shared[0]} in both")
    loaded = batches(
        manifest,
        card.preprocess,
        _BATCH,
        missing=format_modalities({*parse_modalities(missing), *card.unknown_modalities()}),
        yunet=yunet,
    )
    kept: list[Batch] = []
    rows: list[int] = []
    for item in loaded:
        if item.batch is not None:
            kept.append(item.batch)
            rows += item.rows
    labels, species = manifest.column("label"), manifest.column("species")
    return LabelledSet(
        batches=tuple(kept),
        labels=tuple(Label(labels[row]) for row in rows),
        species=tuple(str(species[row]) for row in rows),
        threshold=card.threshold(missing),
        digest=sha256(path),
    )


def _images(manifest: Manifest) -> set[Path]:
    cells = (cell for m in MODALITIES for cell in manifest.column(m.value).tolist() if cell)
    return {(manifest.root / cell).resolve() for cell in cells}
