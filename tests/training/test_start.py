"""Training that begins from a model: its kind and preprocessing, its weights, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from commands import mfas, refusal
from mfas._files import sha256
from mfas.benchmark.training_run import TrainConfig, train
from mfas.card import CARD_FILE, Card
from mfas.models.store import load_model

SMALL = ("--set", "preprocess.size=32", "--set", "loop.epochs=1", "--set", "batch_size=8", "--set", "threads=1")


@pytest.fixture(scope="module")
def first(lesson: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("start") / "first"
    assert mfas("train", "--manifest", lesson, "--model", "late_fusion", "--out", out, *SMALL).code == 0
    return out


def test_it_begins_where_the_other_ended(lesson: Path, first: Path, tmp_path: Path) -> None:
    values = {"manifest": [lesson], "out": tmp_path / "on", "start": first, "batch_size": 8, "threads": 1}
    train(TrainConfig.resolve(given={**values, "loop": {"epochs": 1, "learning_rate": 1e-9}}))
    (model, card), (before, own) = load_model(tmp_path / "on"), load_model(first)
    assert (card.model, card.preprocess, card.architecture) == (own.model, own.preprocess, own.architecture)
    for name, tensor in before.state_dict().items():
        assert torch.allclose(model.state_dict()[name], tensor, atol=1e-5), name
    # the card names the model by its hash, and no folder of whoever trained
    assert card.training["start"] == sha256(first / CARD_FILE)
    assert str(tmp_path) not in (tmp_path / "on" / CARD_FILE).read_text()
    assert "start" not in Card.read(first).training
    assert json.loads((tmp_path / "on" / "config.json").read_text())["config"]["model"] == "late_fusion"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--model", "mfas_danet"), "expected the model of"),
        (("--set", "preprocess.size=48"), "expected the preprocess of"),
        (("--set", "architecture.backbone=resnet18"), "expected the architecture of"),
    ],
)
def test_another_model_than_that_is_refused(
    lesson: Path, first: Path, tmp_path: Path, more: tuple[str, ...], told: str
) -> None:
    assert told in refusal("train", "--manifest", lesson, "--out", tmp_path / "x", "--set", f"start={first}", *more)
    assert not (tmp_path / "x").exists()


def test_a_folder_that_is_no_model_is_refused(lesson: Path, tmp_path: Path) -> None:
    told = refusal("train", "--manifest", lesson, "--out", tmp_path / "x", "--set", f"start={tmp_path}")
    assert "card.json" in told
