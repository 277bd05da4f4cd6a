"""`mfas families`: attack-family heads for a model that is trained already; no score of it changes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field

from mfas._files import make_folder, sha256
from mfas.benchmark.family_heads import family_card, post_hoc_heads
from mfas.benchmark.sources import read_sources
from mfas.benchmark.training_run import chunks, load_split
from mfas.card import ONNX_FILE, WEIGHTS_FILE, Card
from mfas.config import Config, write_resolved
from mfas.core import MISSING_PATTERNS, parse_modalities
from mfas.data.augment import Augment, AugmentConfig
from mfas.data.dataset import CachedTensors
from mfas.errors import InputError
from mfas.export.predictor import OnnxPredictor
from mfas.models.families import save_families
from mfas.models.store import load_model
from mfas.training.families import HeadConfig
from mfas.weights import default_directory


class FamiliesConfig(Config):
    """Configuration of `mfas families`. ``model`` None = the default weights; ``out`` is another folder.

    The training split teaches, the validation split measures.
    """

    manifest: tuple[Path, ...] = Field(min_length=1)
    out: Path
    model: Path | None = None
    families: HeadConfig = HeadConfig()
    augment: AugmentConfig = AugmentConfig()
    seed: int = Field(0, ge=0)
    threads: int = Field(0, ge=0, description="0 = as many as torch chooses")


def add_families(config: FamiliesConfig) -> dict[str, Any]:
    """Write ``OUT``: the weights as they are, ``families.safetensors``, the card, and the graph where there was one.

    Both graphs score the validation captures; a score that differs in any bit is refused. Returns a JSON-safe summary.
    Raises `ModelDirError`, `ManifestError` (a split, a class or every family missing), `InputError`.
    """
    directory = config.model or default_directory()
    if config.out.resolve() == directory.resolve():
        raise InputError(f"expected an out folder that is not the model's, got {config.out}")
    if config.threads:
        torch.set_num_threads(config.threads)
    model, card = load_model(directory)
    manifest = read_sources(config.manifest, require_labels=True)
    learnt_from, validation = (load_split(manifest, split, card.preprocess) for split in ("train", "validation"))
    augment = Augment(card.preprocess, config.seed, config.augment)
    heads = post_hoc_heads(model, learnt_from, config.families, augment, config.seed)
    make_folder(config.out)
    shutil.copyfile(directory / WEIGHTS_FILE, config.out / WEIGHTS_FILE)
    had_graph = ONNX_FILE in card.files
    told = family_card(model, heads, "post_hoc", config.families, learnt_from, validation)
    kept = {WEIGHTS_FILE: sha256(config.out / WEIGHTS_FILE)}
    card = save_families(heads, card.model_copy(update={"files": kept, "int8": None}), told, config.out)
    if had_graph:
        from mfas.export.onnx_file import export_onnx

        card = export_onnx(model, card, config.out, heads=heads).card
        _same_scores(OnnxPredictor(directory, threads=1), OnnxPredictor(config.out, threads=1), validation)
    write_resolved(config, config.out, "families")
    return _summary(config, card, learnt_from, validation)


def _summary(
    config: FamiliesConfig, card: Card, learnt_from: CachedTensors, validation: CachedTensors
) -> dict[str, Any]:
    assert card.families is not None
    return {
        "out": str(config.out),
        "model": card.model,
        "families": [name.value for name in card.families.names],
        "captures": {"train": len(learnt_from), "validation": len(validation)},
        "validation": card.families.metrics["validation"],
        "files": sorted(card.files),
        "bytes": sum((config.out / name).stat().st_size for name in card.files),
    }


def _same_scores(before: OnnxPredictor, after: OnnxPredictor, data: CachedTensors) -> None:
    """Raise `InputError` unless both graphs give the same bits, with the missing patterns in turn."""
    for number, batch in enumerate(chunks(data, 32)):
        imposed = batch.impose(parse_modalities(MISSING_PATTERNS[number % len(MISSING_PATTERNS)])).present
        present = torch.where(imposed.any(dim=1)[:, None], imposed, batch.present).numpy()
        images = {m: x.numpy() for m, x in batch.images.items()}
        one, two = before.predict(images, present).score, after.predict(images, present).score
        if not np.array_equal(one, two):
            worst = float(np.abs(one - two).max())
            raise InputError(
                f"expected the graph with family heads to score as before, got a difference of {worst:.2g}"
            )
