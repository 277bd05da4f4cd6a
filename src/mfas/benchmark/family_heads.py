"""Attack-family heads of a trained model: which families, what they learn from, how well they tell them apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfas.card import FamilyCard
from mfas.core import FAMILIES, Batch, Family
from mfas.data.augment import Augment
from mfas.data.dataset import CachedTensors
from mfas.data.species import FAMILY_OF, family_targets
from mfas.errors import ManifestError
from mfas.metrics import auc
from mfas.models.contract import FasModel
from mfas.models.families import FamilyHeads, fused_width, predict_with_families
from mfas.training.families import FamilyConfig, HeadConfig, Way, WithFamilies, collect_features, fit_heads

_BATCH = 64


def species_of(data: CachedTensors) -> list[str]:
    """Species of the loaded captures, empty for bona fide."""
    return [str(name) for name in data.manifest.column("species")[data.rows]]


def families_in(species: Sequence[str], fewest: int) -> tuple[Family, ...]:
    """Families with at least ``fewest`` captures, in canonical order; `ManifestError` where there is none."""
    counts = Counter(FAMILY_OF[name] for name in species if name)
    names = tuple(family for family in FAMILIES if counts[family] >= fewest)
    if not names:
        most = max(counts[family] for family in FAMILIES)
        raise ManifestError(f"expected {fewest} captures of an attack family to train a head on, got {most} at most")
    return names


def beside_heads(model: FasModel, species: Sequence[str], config: FamilyConfig) -> FasModel:
    """The model to train: with heads beside it where they learn together, else as it is. Raises `ManifestError`."""
    if config.way == "none":
        return model
    names = families_in(species, config.fewest)
    if config.way == "post_hoc":
        return model
    return WithFamilies(model, FamilyHeads(fused_width(model.eval()), names, config.hidden), config)


def post_hoc_heads(
    model: FasModel, data: CachedTensors, config: HeadConfig, augment: Augment, seed: int
) -> FamilyHeads:
    """Heads on the frozen features of augmented training captures; ``model`` is in eval mode and stays as it is.

    Raises `ManifestError` where no family has captures enough.
    """
    species = species_of(data)
    names = families_in(species, config.fewest)
    targets = torch.from_numpy(family_targets(species, names))

    def views() -> Iterator[tuple[Batch, Tensor]]:
        for _ in range(config.passes):
            for start in range(0, len(data), _BATCH):
                rows = range(start, min(start + _BATCH, len(data)))
                yield augment(data.batch(rows)), targets[start : rows.stop]

    features, wanted = collect_features(model, views(), seed)
    return fit_heads(model, names, features, wanted, config, seed)


def measure_families(model: FasModel, heads: FamilyHeads, data: CachedTensors) -> dict[str, Any]:
    """What the heads know of labelled captures, with every sensor they have.

    ``accuracy``: share of attacks of a trained family whose largest head is the right one. ``auc`` by family: its
    captures against all others, bona fide too; families that are not there are left out. ``attacks``: how many.
    """
    species = species_of(data)
    family = np.array([FAMILY_OF[name].value if name else "" for name in species])
    scores = family_scores(model, heads, data)
    names = np.array([name.value for name in heads.names])
    known = np.isin(family, names)
    right = names[scores.argmax(axis=1)] == family
    found: dict[str, Any] = {"attacks": int(known.sum()), "accuracy": _mean(right[known]), "auc": {}}
    for column, name in enumerate(names):
        own = family == name
        if own.any() and not own.all():
            found["auc"][str(name)] = round(auc(scores[own, column], {"rest": scores[~own, column]}), 4)
    return found


def family_scores(model: FasModel, heads: FamilyHeads, data: CachedTensors) -> NDArray[np.float64]:
    """Scores of the heads ``[N, K]`` over loaded captures."""
    parts = [
        predict_with_families(model, heads, data.batch(range(start, min(start + _BATCH, len(data))))).extras["families"]
        for start in range(0, len(data), _BATCH)
    ]
    return torch.cat(parts).double().numpy()


def family_card(
    model: FasModel,
    heads: FamilyHeads,
    way: Way,
    config: HeadConfig,
    learnt_from: CachedTensors,
    validation: CachedTensors,
) -> FamilyCard:
    """What a card says of heads, measured on source validation."""
    recipe = {"config": config.model_dump(mode="json"), "captures": len(learnt_from)}
    metrics = {"validation": measure_families(model, heads, validation)}
    return FamilyCard(names=heads.names, hidden=heads.hidden, way=way, training=recipe, metrics=metrics)


def _mean(values: NDArray[np.bool_]) -> float | None:
    return round(float(values.mean()), 4) if len(values) else None
