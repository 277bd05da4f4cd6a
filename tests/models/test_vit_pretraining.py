"""The trunk learns classes and what other sensors see, and its file is one that models take."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mfas._files import read_json
from mfas.core import MODALITIES
from mfas.data.manifest import read_manifest, write_manifest
from mfas.errors import InputError
from mfas.models.contract import LossStep
from mfas.models.vit_pretraining import VitPretraining, VitPretrainingArchitecture
from mfas.models.vit_shared import SharedVit, VitOptions
from toys import SPEC, TINY_VIT, batch, every_pattern, target_of

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "pretrain_vit.py"


def model(weight_cross: float = 0.5) -> VitPretraining:
    torch.manual_seed(0)
    architecture = VitPretrainingArchitecture.model_validate({"vit": TINY_VIT, "weight_cross": weight_cross})
    return VitPretraining(SPEC, architecture)


def test_patches_to_tell_are_those_that_the_token_stands_for() -> None:
    one = model()
    some = batch(1)
    seen = torch.nn.functional.unfold(one.vit.shrink(some.images[MODALITIES[1]]), 8, stride=8).transpose(1, 2)
    # token 5 of a 4 x 4 grid is row 1, column 1; its patch is laid out channel by channel
    assert torch.equal(seen[0, 5].view(2, 8, 8), some.images[MODALITIES[1]][0, :, 8:16, 8:16])


def test_every_part_learns_and_only_pairs_that_both_answered_count() -> None:
    one = model()
    one.training_loss(batch(7, present=every_pattern()), target_of(7), LossStep(torch.Generator())).backward()
    assert [name for name, p in one.named_parameters() if p.grad is None] == []
    alone = torch.tensor([[True, False, False]] * 4)
    some, step = batch(4, present=alone), LossStep(torch.Generator())
    assert torch.equal(
        model(0.5).training_loss(some, target_of(4), step), model(0.0).training_loss(some, target_of(4), step)
    )


def test_the_script_writes_weights_that_a_frozen_trunk_takes(
    lesson: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = [f"vit.{key}={value}" for key, value in TINY_VIT.items()]
    settings = [*tiny, "preprocess.size=32", "batch_size=8", "loop.epochs=2", "threads=1"]
    argv = ["pretrain_vit.py", "--manifest", str(lesson), "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [*argv, *(part for text in settings for part in ("--set", text))])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    written = read_json(tmp_path / "vit.json", "record")
    weights = {"weights": tmp_path / "vit.safetensors", "sha256": written["sha256"]}
    trunk = SharedVit(SPEC, VitOptions.model_validate({**written["vit"], **weights}))
    assert not any(p.requires_grad for p in trunk.parameters())
    assert len(written["history"]) == 2
    assert not (tmp_path / "unfinished").exists()


class Stopped(Exception):
    """As a kill after an epoch."""


def test_a_pretraining_goes_on_with_the_same_captures_only(lesson: Path, tmp_path: Path) -> None:
    def stop(record: object) -> None:
        raise Stopped

    script = runpy.run_path(str(SCRIPT))
    pretrain = script["pretrain"]
    pretrain.__globals__["_say"] = stop
    copy = tmp_path / "copy.parquet"
    rows = read_manifest(lesson)
    write_manifest(rows, copy)
    settings = {"vit": TINY_VIT, "preprocess": {"size": 32}, "batch_size": 8, "loop": {"epochs": 2}, "threads": 1}
    config = script["PretrainConfig"].model_validate({**settings, "manifest": [copy], "out": tmp_path / "vit"})
    with pytest.raises(Stopped):
        pretrain(config)
    write_manifest(rows.take(np.arange(len(rows) - 1)), copy)
    with pytest.raises(InputError, match="another model, manifest or configuration"):
        pretrain(config, resume=True)
