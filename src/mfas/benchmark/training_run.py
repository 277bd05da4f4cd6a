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

from mfas._files import make_folder, sha256
from mfas.adaptation.gate import GateSettings
from mfas.audit.hardening import NoiseConfig, TrainingNoise
from mfas.benchmark.family_heads import beside_heads, family_card, post_hoc_heads, species_of
from mfas.benchmark.gate_calibration import calibrate_gate
from mfas.benchmark.source_means import measure_source_mean
from mfas.benchmark.sources import read_sources
from mfas.card import CARD_FILE, Card, Preprocess
from mfas.config import Config, environment, write_resolved
from mfas.core import MISSING_PATTERNS, MODALITIES, Batch, Family, Label
from mfas.data.augment import Augment, AugmentConfig
from mfas.data.dataset import CachedTensors
from mfas.data.manifest import Manifest
from mfas.data.species import family_targets
from mfas.errors import ConfigError, ManifestError
from mfas.models.contract import FasModel
from mfas.models.families import save_families
from mfas.models.registry import create
from mfas.models.store import load_model, save_model
from mfas.training.checkpoint import Checkpoints
from mfas.training.families import FamilyConfig, WithFamilies
from mfas.training.loop import EpochRecord, Labelled, LoopConfig, fit
from mfas.training.ranks import Ranks
from mfas.training.sampling import balanced_weights, epoch_order
from mfas.training.validation import (
    PatternScores,
    head_centres,
    score_patterns,
    source_thresholds,
    step_up_bands,
    validation_loss,
)
from mfas.weights import default_directory


class TrainConfig(Config):
    """Configuration of `mfas train`."""

    manifest: tuple[Path, ...] = Field(min_length=1)
    out: Path
    start: Path | None = Field(None, description="model directory to begin from; default = the shipped weights")
    model: str = "mfas_danet"
    architecture: dict[str, Any] = Field(default_factory=dict)
    preprocess: Preprocess = Preprocess()
    loop: LoopConfig = LoopConfig()
    batch_size: int = Field(48, ge=2)
    epoch_captures: int = Field(0, ge=0, description="captures an epoch shows; 0 = as many as there are")
    augment: AugmentConfig = AugmentConfig()
    balance: float = Field(0.5, ge=0, le=1, description="0 = groups as in the data, 1 = all (site, species) alike")
    noise: NoiseConfig = Field(NoiseConfig(), description="captures perturbed against the model as it learns")
    step_up: float = Field(
        0.0,
        ge=0,
        lt=0.5,
        description="share of validation presentations outside the band that may be wrong; 0 = no band",
    )
    families: FamilyConfig = Field(FamilyConfig(), description="attack-family heads")
    gate: GateSettings = Field(GateSettings(), description="evidence gate whose reliability is measured for the card")
    seed: int = Field(0, ge=0)
    threads: int = Field(0, ge=0, description="0 = as many as torch chooses")
    licence: str = "unspecified"


def train(
    config: TrainConfig, progress: Callable[[EpochRecord], None] | None = None, *, resume: bool | None = None
) -> dict[str, Any]:
    """Train, set thresholds and measure the gate on validation, write ``DIR/model.safetensors`` and ``DIR/card.json``.

    Under torchrun ``batch_size`` captures go to each process and the first one writes. The same training, stopped
    in ``DIR``, goes on from its last whole epoch; ``resume`` false refuses to, ``resume`` true refuses to throw another
    one away. Returns a JSON-safe summary, empty in further processes.
    Raises `ManifestError` when a split or a class is missing, `InputError` when the loss is no longer finite,
    `ConfigError` when another model or preprocessing is asked for than that of ``start``.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    start = perf_counter()
    manifest = read_sources(config.manifest, require_labels=True)
    torch.manual_seed(config.seed)
    config, model, origin = _begin(config)
    train_set = load_split(manifest, "train", config.preprocess)
    validation_set = load_split(manifest, "validation", config.preprocess)
    model = beside_heads(model, species_of(train_set), config.families)
    make_folder(config.out)
    ranks = Ranks(config.loop.accelerator, config.loop.precision)
    checkpoints = Checkpoints(config.out, identity(config, ranks, origin))
    if ranks.rank == 0:
        checkpoints.open(resume)
    ranks.fabric.barrier()
    model = _layout(model, torch.channels_last)
    loaded = perf_counter()
    learnt = model.family_heads.names if isinstance(model, WithFamilies) else ()
    epochs = TrainingEpochs(train_set, config, ranks, learnt)
    bona_fide = bona_fide_rows(validation_set)

    def validate(candidate: FasModel) -> float:
        return validation_loss(score_patterns(candidate, chunks(validation_set)), bona_fide)

    model, history = fit(
        model,
        epochs,
        config.loop,
        config.seed,
        validate,
        progress,
        ranks=ranks,
        checkpoints=checkpoints,
        disturb=TrainingNoise(config.noise, config.preprocess, config.seed) if config.noise.share else None,
    )
    model = _layout(model, torch.contiguous_format)
    trained = perf_counter()
    if ranks.rank:
        ranks.close()
        return {}
    model, heads = (model.base, model.family_heads) if isinstance(model, WithFamilies) else (model, None)
    scores = score_patterns(model, chunks(validation_set))
    card = _card(config, manifest, model, validation_set, scores, history, origin)
    presentations = validation_set.manifest.column("presentation_id")[validation_set.rows].astype(str)
    card = calibrate_gate(model, card, chunks(validation_set), bona_fide, presentations, config.gate)
    card = card.model_copy(update={"source_mean": measure_source_mean(model, train_set)})
    card = save_model(model, card, config.out)
    if config.families.way == "post_hoc":
        augment = Augment(config.preprocess, config.seed, config.augment)
        heads = post_hoc_heads(model, train_set, config.families, augment, config.seed)
    if heads is not None:
        told = family_card(model, heads, config.families.way, config.families, train_set, validation_set)
        card = save_families(heads, card, told, config.out)
    write_resolved(config, config.out, "train")
    checkpoints.finish()
    ranks.close()
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
        **({} if card.families is None else {"families": card.families.metrics["validation"]}),
    }


class TrainingEpochs:
    """Balanced, shuffled, augmented batches of the training set; the same for the same seed.

    Every process draws and augments the whole batch and keeps its rows, so that a capture meets the same disturbance
    whichever process holds it.
    """

    def __init__(
        self, data: CachedTensors, config: TrainConfig, ranks: Ranks, families: tuple[Family, ...] = ()
    ) -> None:
        self._data = data
        self._config = config
        self._whole = config.batch_size * ranks.world
        self._own = slice(ranks.rank * config.batch_size, (ranks.rank + 1) * config.batch_size)
        self._bona_fide = bona_fide_rows(data)
        part = data.manifest.take(data.rows)
        sites = part.column("site").astype(str)
        self._sites = np.unique(sites, return_inverse=True)[1]
        self._weights = balanced_weights(self._bona_fide, sites, part.column("species").astype(str), config.balance)
        self._augment = Augment(config.preprocess, config.seed, config.augment)
        self._families = torch.from_numpy(family_targets(species_of(data), families)) if families else None
        self.steps = max(1, (config.epoch_captures or len(data)) // self._whole)

    def __call__(self, epoch: int) -> Iterator[Labelled]:
        """See `mfas.training.loop.Epochs`."""
        order = epoch_order(self._weights, self.steps * self._whole, self._config.seed, epoch)
        for chosen in order.reshape(self.steps, self._whole):
            batch = self._augment(self._data.batch(torch.from_numpy(chosen)))
            own = chosen[self._own]
            if len(own) < len(chosen):
                batch = batch.select(torch.arange(len(chosen))[self._own])
            target = torch.from_numpy(self._bona_fide[own].astype(np.float32))
            families = None if self._families is None else self._families[torch.from_numpy(own)]
            yield Labelled(batch, target, torch.from_numpy(self._sites[own]), families)

    def random_state(self) -> Tensor:
        """See `mfas.training.loop.Epochs`."""
        return self._augment.generator.get_state()

    def set_random_state(self, state: Tensor) -> None:
        """See `mfas.training.loop.Epochs`."""
        self._augment.generator.set_state(state)


def _begin(config: TrainConfig) -> tuple[TrainConfig, FasModel, str | None]:
    """The model before the first step; with ``start``, also its kind and preprocessing, and its card's SHA-256."""
    if config.start is None:
        return config, create(config.model, config.preprocess, config.architecture), None
    folder = default_directory() if config.start == Path("default") else config.start
    model, card = load_model(folder)
    own = {"model": card.model, "architecture": card.architecture, "preprocess": card.preprocess}
    for name, value in own.items():
        if name in config.model_fields_set and getattr(config, name) != value:
            raise ConfigError(f"expected the {name} of {folder}, which training starts from, got another")
    return config.model_copy(update=own), model, sha256(folder / CARD_FILE)


def identity(config: TrainConfig, ranks: Ranks, origin: str | None = None) -> dict[str, Any]:
    """What a training that goes on must share with the one that was stopped; ``origin``: card of its ``start``."""
    return {
        "config": config.model_dump(mode="json", exclude={"out", "start"}),
        **({} if origin is None else {"start": origin}),
        "manifests": [sha256(path) for path in config.manifest],
        "processes": ranks.world,
    }


def _layout(model: FasModel, layout: torch.memory_format) -> FasModel:
    """Convolutions are a third faster on the CPU with channels last."""
    for parameter in model.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=layout)
    return model


def load_split(manifest: Manifest, split: str, spec: Preprocess) -> CachedTensors:
    """The captures of one split in memory; `ManifestError` where it lacks a class."""
    part = manifest.filter(split=split)
    counts = part.counts("label")
    for label in Label:
        if not counts.get(label.value):
            raise ManifestError(f"expected {label.value} captures in split '{split}', got none")
    data = CachedTensors(part, spec, workers=2)
    answered = bona_fide_rows(data)
    for label, count in ((Label.BONA_FIDE, answered.sum()), (Label.ATTACK, (~answered).sum())):
        if not count:
            reason = data.non_responses[0].reason
            raise ManifestError(f"expected {label.value} captures with a face in split '{split}', got none ({reason})")
    return data


def bona_fide_rows(data: CachedTensors) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which of the loaded captures are bona fide."""
    return np.asarray(data.manifest.column("label")[data.rows] == Label.BONA_FIDE.value, dtype=np.bool_)


def chunks(data: CachedTensors, size: int = 64) -> Iterator[Batch]:
    """All loaded captures in order."""
    for start in range(0, len(data), size):
        yield data.batch(range(start, min(start + size, len(data))))


def _card(
    config: TrainConfig,
    manifest: Manifest,
    model: FasModel,
    validation: CachedTensors,
    scores: dict[str, PatternScores],
    history: list[EpochRecord],
    origin: str | None,
) -> Card:
    part = validation.manifest.take(validation.rows)
    labels = part.column("label").astype(str)
    present = {m for m, count in manifest.modality_counts().items() if count}
    presentations = part.column("presentation_id").astype(str)
    thresholds = source_thresholds(scores, labels, presentations)
    share = config.step_up
    return Card(
        model=config.model,
        architecture=model.stored_architecture(),
        modalities=tuple(m for m in MODALITIES if m.value in present),
        preprocess=config.preprocess,
        thresholds=thresholds,
        bands=step_up_bands(scores, labels, presentations, thresholds, share) if share else {},
        gate=head_centres(scores[MISSING_PATTERNS[0]], labels),
        sources=tuple(sorted(manifest.counts("site"))),
        training={
            "config": config.model_dump(mode="json", exclude={"out", "manifest", "start"}),
            **({} if origin is None else {"start": origin}),
            "captures": {split: manifest.counts("split").get(split, 0) for split in ("train", "validation", "test")},
            "species": {name: count for name, count in manifest.counts("species").items() if name},
            "history": [[record.loss, record.validation] for record in history],
        },
        metrics={"validation": {"loss": min(r.validation for r in history if r.validation is not None)}},
        seed=config.seed,
        licence=config.licence,
        environment=environment(),
    )
