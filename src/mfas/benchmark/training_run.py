"""`mfas train`: manifests to a model directory with source-validation thresholds in its card."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mfas._files import make_folder
from mfas.adaptation.gate import GateSettings
from mfas.benchmark.gate_calibration import calibrate_gate
from mfas.benchmark.sources import read_sources
from mfas.card import Card, Preprocess
from mfas.config import Config, environment, write_resolved
from mfas.core import MISSING_PATTERNS, MODALITIES, Batch, Label
from mfas.data.augment import Augment, AugmentConfig
from mfas.data.dataset import CachedTensors
from mfas.data.manifest import Manifest
from mfas.errors import ManifestError
from mfas.models.contract import FasModel
from mfas.models.registry import create
from mfas.models.store import save_model
from mfas.training.loop import EpochRecord, LoopConfig, fit
from mfas.training.sampling import balanced_weights, epoch_order
from mfas.training.validation import PatternScores, head_centres, score_patterns, source_thresholds, validation_loss


class TrainConfig(Config):
    """Configuration of `mfas train`."""

    manifest: tuple[Path, ...] = Field(min_length=1)
    out: Path
    model: str = "mfas_danet"
    architecture: dict[str, Any] = Field(default_factory=dict)
    preprocess: Preprocess = Preprocess()
    loop: LoopConfig = LoopConfig()
    batch_size: int = Field(48, ge=2)
    augment: AugmentConfig = AugmentConfig()
    balance: float = Field(0.5, ge=0, le=1, description="0 = groups as in the data, 1 = all (site, species) alike")
    gate: GateSettings = Field(GateSettings(), description="evidence gate whose reliability is measured for the card")
    seed: int = Field(0, ge=0)
    threads: int = Field(0, ge=0, description="0 = as many as torch chooses")
    licence: str = "unspecified"


def train(config: TrainConfig, progress: Callable[[EpochRecord], None] | None = None) -> dict[str, Any]:
    """Train, set thresholds and measure the gate on validation, write ``DIR/model.safetensors`` and ``DIR/card.json``.

    Returns a JSON-safe summary. Raises `ManifestError` when a split or a class is missing.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    start = perf_counter()
    manifest = read_sources(config.manifest, require_labels=True)
    torch.manual_seed(config.seed)
    model = create(config.model, config.preprocess, config.architecture)
    train_set = _load(manifest, "train", config)
    validation_set = _load(manifest, "validation", config)
    make_folder(config.out)
    model = _layout(model, torch.channels_last)
    loaded = perf_counter()
    epochs = _Epochs(train_set, config)
    bona_fide = _bona_fide(validation_set)

    def validate(candidate: FasModel) -> float:
        return validation_loss(score_patterns(candidate, _chunks(validation_set)), bona_fide)

    model, history = fit(model, epochs, epochs.steps, config.loop, config.seed, validate, progress)
    model = _layout(model, torch.contiguous_format)
    trained = perf_counter()
    scores = score_patterns(model, _chunks(validation_set))
    card = _card(config, manifest, model, validation_set, scores, history)
    presentations = validation_set.manifest.column("presentation_id")[validation_set.rows].astype(str)
    card = calibrate_gate(model, card, _chunks(validation_set), bona_fide, presentations, config.gate)
    card = save_model(model, card, config.out)
    write_resolved(config, config.out, "train")
    seen = sum(record.captures for record in history)
    return {
        "out": str(config.out),
        "model": config.model,
        "parameters": sum(p.numel() for p in model.parameters()),
        "captures": {"train": len(train_set), "validation": len(validation_set)},
        "epochs": len(history),
        "seconds": {"load": loaded - start, "fit": trained - loaded},
        "captures_per_second": seen / (trained - loaded),
        "validation": card.metrics["validation"],
        "thresholds": dict(card.thresholds),
    }


class _Epochs:
    """Balanced, shuffled, augmented batches of the training set; the same for the same seed."""

    def __init__(self, data: CachedTensors, config: TrainConfig) -> None:
        self._data = data
        self._config = config
        self._bona_fide = _bona_fide(data)
        part = data.manifest.take(data.rows)
        self._weights = balanced_weights(
            self._bona_fide, part.column("site").astype(str), part.column("species").astype(str), config.balance
        )
        self._augment = Augment(config.preprocess, config.seed, config.augment)
        self.steps = max(1, len(data) // config.batch_size)

    def __call__(self, epoch: int) -> Iterator[tuple[Batch, Tensor]]:
        config = self._config
        order = epoch_order(self._weights, self.steps * config.batch_size, config.seed, epoch)
        for chosen in order.reshape(self.steps, config.batch_size):
            batch = self._augment(self._data.batch(torch.from_numpy(chosen)))
            yield batch, torch.from_numpy(self._bona_fide[chosen].astype(np.float32))


def _layout(model: FasModel, layout: torch.memory_format) -> FasModel:
    """Convolutions are a third faster on the CPU with channels last."""
    for parameter in model.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=layout)
    return model


def _load(manifest: Manifest, split: str, config: TrainConfig) -> CachedTensors:
    part = manifest.filter(split=split)
    counts = part.counts("label")
    for label in Label:
        if not counts.get(label.value):
            raise ManifestError(f"expected {label.value} captures in split '{split}', got none")
    data = CachedTensors(part, config.preprocess, workers=2)
    answered = _bona_fide(data)
    for label, count in ((Label.BONA_FIDE, answered.sum()), (Label.ATTACK, (~answered).sum())):
        if not count:
            reason = data.non_responses[0].reason
            raise ManifestError(f"expected {label.value} captures with a face in split '{split}', got none ({reason})")
    return data


def _bona_fide(data: CachedTensors) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.asarray(data.manifest.column("label")[data.rows] == Label.BONA_FIDE.value, dtype=np.bool_)


def _chunks(data: CachedTensors, size: int = 64) -> Iterator[Batch]:
    for start in range(0, len(data), size):
        yield data.batch(range(start, min(start + size, len(data))))


def _card(
    config: TrainConfig,
    manifest: Manifest,
    model: FasModel,
    validation: CachedTensors,
    scores: dict[str, PatternScores],
    history: list[EpochRecord],
) -> Card:
    part = validation.manifest.take(validation.rows)
    labels = part.column("label").astype(str)
    present = {m for m, count in manifest.modality_counts().items() if count}
    thresholds = source_thresholds(scores, labels, part.column("presentation_id").astype(str))
    return Card(
        model=config.model,
        architecture=model.stored_architecture(),
        modalities=tuple(m for m in MODALITIES if m.value in present),
        preprocess=config.preprocess,
        thresholds=thresholds,
        gate=head_centres(scores[MISSING_PATTERNS[0]], labels),
        sources=tuple(sorted(manifest.counts("site"))),
        training={
            "config": config.model_dump(mode="json", exclude={"out", "manifest"}),
            "captures": {split: manifest.counts("split").get(split, 0) for split in ("train", "validation", "test")},
            "species": {name: count for name, count in manifest.counts("species").items() if name},
            "history": [[record.loss, record.validation] for record in history],
        },
        metrics={"validation": {"loss": min(r.validation for r in history if r.validation is not None)}},
        seed=config.seed,
        licence=config.licence,
        environment=environment(),
    )
