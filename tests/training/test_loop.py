"""The training loop against the same training written out, its precisions, and how it stops and goes on."""

from __future__ import annotations

import json
import math
from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from lessons import ToyEpochs
from mfas.audit.hardening import NoiseConfig, TrainingNoise
from mfas.errors import InputError, StateError
from mfas.models.contract import FasModel, LossStep
from mfas.training.checkpoint import Checkpoints
from mfas.training.loop import Disturb, EpochRecord, LoopConfig, fit
from mfas.training.validation import PatternScores, validation_loss
from toys import SPEC, batch, tiny_model

CONFIG = LoopConfig(epochs=4)


def validate(model: FasModel) -> float:
    return float(model.predict(batch(8, seed=99)).score.mean())


def written_out(model: FasModel, config: LoopConfig, seed: int) -> tuple[FasModel, list[float]]:
    """AdamW, warm-up and cosine, clipping, a moving average: the loop without everything around it."""
    epochs, generator = ToyEpochs(), torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    total = config.epochs * epochs.steps
    start = max(1, int(total * config.warmup_share))

    def rate(step: int) -> float:
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, (step - start) / max(1, total - start))))
        return (step + 1) / start if step < start else cosine

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    average = deepcopy(model).eval()
    losses, best, best_value = [], average, math.inf
    for epoch in range(config.epochs):
        model.train()
        total_loss = 0.0
        for step, one in enumerate(epochs(epoch)):
            loss = model.training_loss(one.batch, one.target, LossStep(generator, config.label_smoothing))
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
            optimiser.step()
            schedule.step()
            count = 1 + epoch * epochs.steps + step
            with torch.no_grad():
                for mean, value in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
                    mean.lerp_(value, 1 - min(config.ema_decay, count / (10 + count)))
            total_loss += float(loss.detach()) * 8
        losses.append(total_loss / 24)
        if validate(average) <= best_value:
            best, best_value = deepcopy(average), validate(average)
    return best, losses


def same(one: FasModel, two: FasModel) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


@pytest.mark.parametrize("name", ["late_fusion", "mfas_danet"])
def test_bit_for_bit_the_loop_written_out(name: str) -> None:
    expected, losses = written_out(tiny_model(name), CONFIG, 5)
    found, history = fit(tiny_model(name), ToyEpochs(), CONFIG, 5, validate)
    assert [record.loss for record in history] == losses
    assert same(found, expected)


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_half_precision_learns_and_gives_single_precision_weights(precision: str) -> None:
    config = CONFIG.model_copy(update={"precision": precision})
    found, history = fit(tiny_model("late_fusion"), ToyEpochs(), config, 5, validate)
    assert history[-1].loss < history[0].loss
    assert {tensor.dtype for tensor in found.state_dict().values()} == {torch.float32}
    assert not same(found, fit(tiny_model("late_fusion"), ToyEpochs(), CONFIG, 5, validate)[0])


class Stopped(Exception):
    """As a kill between two epochs."""


def stop_after(epoch: int, record: EpochRecord) -> None:
    if record.epoch == epoch:
        raise Stopped


@pytest.mark.parametrize("disturb", [None, TrainingNoise(NoiseConfig(share=0.5), SPEC)], ids=["plain", "noise"])
def test_a_stopped_training_ends_in_the_same_bits(tmp_path: Path, disturb: Disturb | None) -> None:
    whole, history = fit(tiny_model(), ToyEpochs(), CONFIG, 5, validate, disturb=disturb)
    assert same(whole, fit(tiny_model(), ToyEpochs(), CONFIG, 5, validate)[0]) == (disturb is None)
    checkpoints = Checkpoints(tmp_path, {"a": 1})
    checkpoints.open(resume=False)
    first = partial(stop_after, 1)
    with pytest.raises(Stopped):
        fit(tiny_model(), ToyEpochs(), CONFIG, 5, validate, first, checkpoints=checkpoints, disturb=disturb)
    with pytest.raises(InputError, match="--resume"):
        checkpoints.open(resume=False)
    with pytest.raises(InputError, match="another model, manifest or configuration"):
        Checkpoints(tmp_path, {"a": 2}).open(resume=True)
    checkpoints.open(resume=None)
    torch.manual_seed(77)  # whatever has been drawn in between
    found, again = fit(tiny_model(seed=9), ToyEpochs(), CONFIG, 5, validate, checkpoints=checkpoints, disturb=disturb)
    assert again == history
    assert same(found, whole)

    file = next(checkpoints.folder.glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(StateError, match=r"as .* describes it"):
        fit(tiny_model(), ToyEpochs(), CONFIG, 5, validate, checkpoints=checkpoints)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_epoch(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, {})
    checkpoints.open(resume=False)
    with pytest.raises(InputError, match=r"step 2 of epoch 1: .* got nan, captures c120, c121, c122, …") as told:
        fit(tiny_model(), ToyEpochs(spoilt=(1, 2)), CONFIG, 5, validate, checkpoints=checkpoints)
    assert "the checkpoint after epoch 0 is kept" in str(told.value)
    written = json.loads((checkpoints.folder / "diverged.json").read_text())
    assert written["captures"] == [f"c{120 + i}" for i in range(8)]
    kept = checkpoints.load()
    assert kept is not None
    assert len(kept[1]["history"]) == 1
    assert all(bool(x.isfinite().all()) for name, x in kept[0].items() if name.startswith("model."))


def test_a_validation_score_that_is_no_number_stops_like_a_loss(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, {})
    checkpoints.open(resume=False)
    found = PatternScores("", np.arange(2), np.array([0.5, math.nan]), np.full((2, 3), 0.5))
    losses = iter([0.5, validation_loss({"": found}, np.array([True, False]))])
    with pytest.raises(InputError, match=r"epoch 1: .* validation loss, got nan; the checkpoint after epoch 0"):
        fit(tiny_model(), ToyEpochs(), CONFIG, 5, lambda _: next(losses), checkpoints=checkpoints)
    kept = checkpoints.load()
    assert kept is not None
    assert len(kept[1]["history"]) == 1


def test_another_training_is_thrown_away_where_nobody_asked_to_keep_it(tmp_path: Path) -> None:
    one, two = Checkpoints(tmp_path, {"a": 1}), Checkpoints(tmp_path, {"a": 2})
    one.save(3, {"x": torch.ones(1)}, {})
    one.open(resume=None)
    assert one.load() is not None
    two.open(resume=None)
    assert two.load() is None
