"""Pre-train the shared transformer on labelled source manifests, for models that freeze it.

``python benchmarks/pretrain_vit.py --manifest M.parquet [--manifest ...] --out DIR [--set vit.depth=4 ...]`` trains
`mfas.models.vit_pretraining.VitPretraining` by the loop of `mfas train` and writes ``DIR/vit.safetensors`` (what
``architecture.vit.weights`` reads) and ``DIR/vit.json`` (its SHA-256, options, validation loss, history). A run that
was stopped goes on with ``--resume``. The test sites of a comparison must not be among the manifests.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from pydantic import Field
from safetensors.torch import save_file

from mfas._files import atomic_path, make_folder, sha256, write_json
from mfas.benchmark.sources import read_sources
from mfas.benchmark.training_run import TrainConfig, TrainingEpochs, bona_fide_rows, chunks, identity, load_split
from mfas.config import environment
from mfas.models.contract import FasModel
from mfas.models.vit_pretraining import VitPretraining, VitPretrainingArchitecture
from mfas.models.vit_shared import VitOptions
from mfas.training.checkpoint import Checkpoints
from mfas.training.loop import EpochRecord, LoopConfig, fit
from mfas.training.ranks import Ranks
from mfas.training.validation import score_patterns, validation_loss


class PretrainConfig(TrainConfig):
    """As `mfas train`, for the transformer alone; a transformer wants a lower rate than a small convolution network."""

    model: str = "vit_pretraining"
    vit: VitOptions = VitOptions(frozen=False)
    weight_cross: float = Field(0.5, ge=0)
    loop: LoopConfig = LoopConfig(epochs=12, learning_rate=1e-3, weight_decay=0.05)


def pretrain(config: PretrainConfig, *, resume: bool = False) -> dict[str, Any]:
    """Train and write; returns what ``vit.json`` says."""
    if config.threads:
        torch.set_num_threads(config.threads)
    start = perf_counter()
    manifest = read_sources(config.manifest, require_labels=True)
    train_set, validation_set = (load_split(manifest, split, config.preprocess) for split in ("train", "validation"))
    torch.manual_seed(config.seed)
    model = VitPretraining(
        config.preprocess, VitPretrainingArchitecture(vit=config.vit, weight_cross=config.weight_cross)
    )
    make_folder(config.out)
    ranks, truth = Ranks(config.loop.accelerator, config.loop.precision), bona_fide_rows(validation_set)
    checkpoints = Checkpoints(config.out, identity(config, ranks))
    if ranks.rank == 0:
        checkpoints.open(resume)
    ranks.fabric.barrier()

    def validate(candidate: FasModel) -> float:
        return validation_loss(score_patterns(candidate, chunks(validation_set)), truth)

    epochs = TrainingEpochs(train_set, config, ranks)
    best, history = fit(model, epochs, config.loop, config.seed, validate, _say, ranks=ranks, checkpoints=checkpoints)
    if ranks.rank:
        ranks.close()
        return {}
    assert isinstance(best, VitPretraining)
    with atomic_path(config.out / "vit.safetensors") as temporary:
        save_file({name: tensor.contiguous() for name, tensor in best.vit.state_dict().items()}, temporary)
    written = {
        "sha256": sha256(config.out / "vit.safetensors"),
        "vit": config.vit.model_dump(mode="json", exclude={"weights", "sha256", "frozen"}),
        "size": config.preprocess.size,
        "validation": min(r.validation for r in history if r.validation is not None),
        "history": [[record.loss, record.validation] for record in history],
        "sources": sorted(manifest.counts("site")),
        "captures": {"train": len(train_set), "validation": len(validation_set)},
        "seconds": perf_counter() - start,
        "environment": environment(),
    }
    write_json(config.out / "vit.json", written)
    checkpoints.finish()
    ranks.close()
    return written


def _say(record: EpochRecord) -> None:
    print(f"epoch {record.epoch}: loss {record.loss:.4f}, validation {record.validation:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--manifest", type=Path, action="append", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args()
    config = PretrainConfig.resolve(None, given.overrides, {"manifest": given.manifest, "out": given.out})
    print(json.dumps(pretrain(config, resume=given.resume), indent=2))


if __name__ == "__main__":
    main()
