"""The origin of explanations: a model's fused logit on the mean features of source captures, for its card."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mfas.card import Card, SourceMean
from mfas.core import Modality
from mfas.data.dataset import CachedTensors
from mfas.data.manifest import read_manifest
from mfas.explain.empty import source_mean
from mfas.models.contract import FasModel
from mfas.models.store import load_model

CAPTURES = 1024
"""A mean over more would not differ by anything that is seen in an explanation."""


def measure_source_mean(model: FasModel, data: CachedTensors, missing: Collection[Modality] = ()) -> SourceMean:
    """Over at most `CAPTURES` of the loaded captures, evenly spaced; the model must be in eval mode.

    ``missing``: what the captures have and the model does not know. Raises `InputError` when nothing was loaded.
    """
    rows = _spaced(len(data))
    sites = tuple(sorted(data.manifest.take(data.rows).counts("site")))
    parts = (torch.from_numpy(rows[start : start + 64]) for start in range(0, len(rows), 64))
    found = source_mean(model, (data.batch(part, missing) for part in parts), sites)
    return SourceMean(logit=found.logit, captures=found.captures, sources=found.sources)


def manifest_source_mean(model: FasModel, card: Card, manifest: Path, yunet: Path | None = None) -> SourceMean:
    """`measure_source_mean` on a manifest; labels are not needed. Raises `ManifestError`, `ImageError` too."""
    listed = read_manifest(manifest)
    data = CachedTensors(listed.take(_spaced(len(listed))), card.preprocess, workers=2, yunet=yunet)
    return measure_source_mean(model, data, card.unknown_modalities())


def store_source_mean(directory: Path, manifest: Path) -> Card:
    """Put the origin of explanations into the card of an existing model directory; returns the card as written.

    ``manifest`` lists source captures; labels are not needed. The card's bytes change with this, and states that were
    adapted from the model name the card by its hash: do it before the model is deployed.
    """
    model, card = load_model(directory)
    card = card.model_copy(update={"source_mean": manifest_source_mean(model, card, manifest)})
    card.write(directory)
    return card


def _spaced(count: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, min(count, CAPTURES)).round().astype(np.int64))
