"""Pretrained trunks: what is read is what transformers has, at any number of channels, and a model keeps it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from mfas.core import Modality
from mfas.errors import ConfigError, MissingExtraError, ModelDirError
from mfas.models.backbones import create_backbone
from mfas.models.contract import LossStep
from mfas.models.registry import create
from mfas.models.store import load_model, save_model
from toys import SPEC, batch, card, every_pattern, target_of

TINY = {
    "vit": {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48},
    "clip_vision_model": {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48},
    "dinov2": {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "mlp_ratio": 2},
    "resnet": {"embedding_size": 8, "hidden_sizes": [8, 12, 16, 24], "depths": [1, 1, 1, 1], "layer_type": "basic"},
}
SIZED = {"image_size": 32, "patch_size": 8}


def write(kind: str, folder: Path) -> Any:
    """A random trunk of ``kind`` in ``folder``, as transformers writes it."""
    transformers = pytest.importorskip("transformers")
    from mfas.models.backbones.hf import _CLASSES

    torch.manual_seed(0)
    options = {**TINY[kind], **({} if kind == "resnet" else SIZED)}
    model = getattr(transformers, _CLASSES[kind])(transformers.AutoConfig.for_model(kind, **options)).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # statistics as if it had been trained
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2.0)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("kind", list(TINY))
def test_the_feature_is_that_of_transformers(kind: str, tmp_path: Path) -> None:
    theirs = write(kind, tmp_path)
    ours = create_backbone("hf", 3, name=str(tmp_path)).eval()
    grey = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        answer = theirs(grey.expand(-1, 3, -1, -1))
    expected = answer.last_hidden_state.mean(dim=(2, 3)) if kind == "resnet" else None
    if kind == "clip_vision_model":
        expected = answer.pooler_output
    elif expected is None:
        expected = answer.last_hidden_state[:, 0]
    assert torch.allclose(ours(grey.expand(-1, 3, -1, -1)), expected, atol=1e-5)
    for channels in (2, 1):
        adapted = create_backbone("hf", channels, name=str(tmp_path)).eval()
        assert torch.allclose(adapted(grey.expand(-1, channels, -1, -1)), expected, atol=1e-4)
    assert ours.lower(torch.randn(2, 3, 32, 32)).shape[1] == ours.lower_channels


@pytest.mark.parametrize("kind", ["vit", "clip_vision_model", "dinov2"])
def test_images_of_another_size_are_brought_to_the_one_asked_for(kind: str, tmp_path: Path) -> None:
    write(kind, tmp_path)
    ours = create_backbone("hf", 3, name=str(tmp_path), image_size=48, upper_blocks=2)
    assert ours.lower(torch.randn(2, 3, 40, 40)).shape == (2, 24, 7, 6)
    assert ours(torch.randn(2, 3, 40, 40)).shape == (2, 24)


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_a_trained_model_is_whole_without_the_folder_it_began_with(kind: str, tmp_path: Path) -> None:
    write(kind, tmp_path / "hub")
    architecture = {"backbone": "hf", "backbone_options": {"name": str(tmp_path / "hub")}}
    model = create("late_fusion", SPEC, architecture).train()
    frozen = {n: p.clone() for n, p in model.state_dict().items() if ".low." in n or ".first." in n}
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
    some = batch(7, present=every_pattern())
    model.training_loss(some, target_of(7), LossStep(torch.Generator())).backward()
    optimiser.step()
    state = model.eval().state_dict()
    assert frozen
    assert all(torch.equal(state[name], before) for name, before in frozen.items())
    assert all(p.grad is not None for p in model.trunks.encoder(Modality.RGB).high.parameters())

    written = card("late_fusion").model_copy(update={"architecture": model.stored_architecture()})
    save_model(model, written, tmp_path / "model")
    assert str(tmp_path) not in (tmp_path / "model" / "card.json").read_text()
    for file in (tmp_path / "hub").iterdir():
        file.unlink()
    assert torch.equal(load_model(tmp_path / "model")[0].predict(some).score, model.predict(some).score)


def test_an_unfrozen_trunk_learns_down_to_its_first_layer(tmp_path: Path) -> None:
    write("vit", tmp_path)
    ours = create_backbone("hf", 1, name=str(tmp_path), frozen=False)
    ours(torch.randn(2, 1, 32, 32)).sum().backward()
    assert all(p.grad is not None for p in ours.parameters() if p.requires_grad)
    assert ours.frozen_modules() == []


def test_what_cannot_be_used_is_refused_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("vit", tmp_path / "hub")
    with pytest.raises(ConfigError, match="both or neither"):
        create_backbone("hf", 3)
    with pytest.raises(ConfigError, match=r"upper_blocks in \[1, 2\], got 3"):
        create_backbone("hf", 3, name=str(tmp_path / "hub"), upper_blocks=3)
    with pytest.raises(ConfigError, match="expected a trunk out of vit"):
        create_backbone("hf", 3, config={"model_type": "bert"})
    (tmp_path / "hub" / "model.safetensors").rename(tmp_path / "hub" / "pytorch_model.bin")
    with pytest.raises(ModelDirError, match="cannot read safetensors weights"):
        create_backbone("hf", 3, name=str(tmp_path / "hub"))
    (tmp_path / "hub" / "config.json").write_text(json.dumps({"model_type": "nothing_known"}))
    with pytest.raises(ModelDirError, match="cannot read safetensors weights"):
        create_backbone("hf", 3, name=str(tmp_path / "hub"))


def test_without_transformers_one_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"backbone hf needs the 'pretrained' extra: pip install"):
        create_backbone("hf", 3, name="google/vit-base-patch16-224")
