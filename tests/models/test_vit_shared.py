"""The shared transformer: resizing, its branches, weights from a file, and what a frozen part may not do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mfas._files import sha256
from mfas.adaptation.surface import norm_names, surface_names
from mfas.card import Preprocess
from mfas.config import Config
from mfas.core import MODALITIES, Batch, Modality
from mfas.errors import ModelDirError
from mfas.models.backbones.first_layer import adapt_channels
from mfas.models.contract import LossStep, Shard, random_present
from mfas.models.vit_shared import SharedVit, VitOptions, area_matrix
from toys import SPEC, TINY_VIT, Micro, batch, target_of

TINY = VitOptions.model_validate(TINY_VIT)


def test_resizing_takes_the_mean_of_what_a_pixel_covers() -> None:
    row = torch.tensor([1.0, 2.0, 3.0])
    # two pixels of 1.5 each: (1 + 2 / 2) / 1.5 and (2 / 2 + 3) / 1.5
    assert torch.allclose(area_matrix(3, 2) @ row, torch.tensor([4 / 3, 8 / 3]))
    assert torch.equal(area_matrix(4, 4), torch.eye(4))


def test_tokens_of_every_modality_and_size() -> None:
    vit = SharedVit(Preprocess(size=50), TINY)
    assert vit.tokens == 16
    for modality, channels in zip(MODALITIES, (3, 2, 1), strict=True):
        tokens = vit.embed(torch.randn(2, channels, 50, 50), modality)
        assert tokens.shape == (2, 17, 24)
        expected = (vit.class_token + vit.position[:, :1])[0, 0]
        assert torch.equal(tokens[1, 0], expected)


def test_a_block_is_its_two_branches_added_in_turn() -> None:
    vit, x = SharedVit(SPEC, TINY), torch.randn(2, 17, 24)
    block = vit.blocks[0]
    half = x + block.attend(x)
    assert torch.equal(block(x), half + block.feed(half))
    whole = vit.embed(torch.ones(1, 1, 32, 32), Modality.IR)
    for block in vit.blocks:
        whole = block(whole)
    assert torch.equal(vit(torch.ones(1, 1, 32, 32), Modality.IR), vit.finish(whole))


def test_attention_is_that_of_torch() -> None:
    ours = SharedVit(SPEC, TINY).blocks[0].attention
    theirs = nn.MultiheadAttention(24, 2, batch_first=True)
    theirs.in_proj_weight.data, theirs.in_proj_bias.data = ours.qkv.weight.data, ours.qkv.bias.data
    theirs.out_proj.weight.data, theirs.out_proj.bias.data = ours.out.weight.data, ours.out.bias.data
    x = torch.randn(3, 5, 24)
    assert torch.allclose(ours(x), theirs(x, x, x)[0], atol=1e-5)


def test_weights_come_back_from_a_file_and_colour_weights_fit_grey(tmp_path: Path) -> None:
    torch.manual_seed(1)
    one, file = SharedVit(SPEC, TINY), tmp_path / "vit.safetensors"
    tensors = {name: x.contiguous() for name, x in one.state_dict().items()}
    for modality in MODALITIES:
        tensors[f"project.{modality.value}.weight"] = one.project["rgb"].weight.detach().clone()
    save_file(tensors, file)
    two = SharedVit(SPEC, TINY.model_copy(update={"weights": file, "sha256": sha256(file)}))
    assert torch.equal(two.blocks[2].mlp[0].weight, one.blocks[2].mlp[0].weight)
    grey = torch.randn(2, 1, 32, 32)
    two.project["ir"].bias.data = two.project["rgb"].bias.data
    as_colour = two.embed(grey.expand(-1, 3, -1, -1), Modality.RGB)
    assert torch.allclose(two.embed(grey, Modality.IR), as_colour, atol=1e-5)
    assert torch.equal(adapt_channels(one.project["depth"].weight, 2), one.project["depth"].weight)


def test_weights_that_do_not_fit_are_refused_in_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "vit.safetensors"
    save_file(SharedVit(SPEC, TINY).state_dict(), file)
    with pytest.raises(ModelDirError, match="found none at"):
        SharedVit(SPEC, TINY.model_copy(update={"weights": tmp_path / "no"}))
    with pytest.raises(ModelDirError, match="expected SHA-256 000"):
        SharedVit(SPEC, TINY.model_copy(update={"weights": file, "sha256": "0" * 64}))
    with pytest.raises(ModelDirError, match="expected 'position' as"):
        SharedVit(SPEC, VitOptions.model_validate({**TINY_VIT, "patch": 16, "weights": file}))
    tensors = load_file(file)
    del tensors["norm.weight"]
    save_file(tensors, file)
    with pytest.raises(ModelDirError, match=r"'norm\.weight', found none"):
        SharedVit(SPEC, TINY.model_copy(update={"weights": file}))
    with pytest.raises(ValidationError, match="multiple of heads"):
        VitOptions(dim=100, heads=3)
    with pytest.raises(ValidationError, match="at least two patches"):
        VitOptions(image_size=8, patch=8)


class _Nested(Config):
    vit: VitOptions = TINY


class _Adapted(Micro):
    """A frozen trunk beside one layer that learns."""

    def __init__(self) -> None:
        super().__init__()
        self.architecture = _Nested(vit=TINY.model_copy(update={"weights": Path("a.safetensors")}))
        self.vit = SharedVit(SPEC, TINY)

    def upper_modules(self, modality: Modality) -> list[nn.Module]:
        return [*super().upper_modules(modality), self.vit.blocks[-1]]

    def frozen_modules(self) -> list[nn.Module]:
        return [self.vit]

    def training_loss(self, batch: Batch, target: Tensor, step: LossStep) -> Tensor:
        del step
        return (self(batch).logit - target).square().mean()


def test_frozen_modules_stay_frozen_and_no_surface_holds_them() -> None:
    model = _Adapted().requires_grad_(True).train()
    assert model.norm.training
    assert not model.vit.blocks[0].training
    assert [name for name, p in model.named_parameters() if p.requires_grad] == ["norm.weight", "norm.bias"]
    assert surface_names(model, "upper") == norm_names(model) == {"norm.weight", "norm.bias"}
    assert model.stored_architecture()["vit"]["weights"] is None


def test_a_training_step_leaves_gradients_and_a_detached_loss() -> None:
    model = _Adapted().train()
    step = LossStep(torch.Generator())
    loss = model.training_step(batch(2), target_of(2), step, lambda one: one.backward())
    assert not loss.requires_grad
    assert model.norm.bias.grad is not None


def test_shards_of_a_draw_are_its_rows_and_shares_make_means_whole() -> None:
    present = torch.ones(8, 3, dtype=torch.bool)
    whole = random_present(present, torch.Generator().manual_seed(5))
    halves = [random_present(present[:4], torch.Generator().manual_seed(5), shard=Shard(r, 2)) for r in (0, 1)]
    assert torch.equal(torch.cat(halves), whole)
    assert not torch.equal(*halves)

    values, counts = torch.arange(4.0), (3, 1)
    parts = values.split(counts)
    shard = Shard(0, 2, mean=lambda _: torch.tensor(2.0))
    steps = LossStep(torch.Generator(), shard=shard)
    total = sum(float(steps.share(n) * part.mean()) for n, part in zip(counts, parts, strict=True)) / 2
    assert total == pytest.approx(float(values.mean()))
    assert LossStep(torch.Generator()).share(3) == 1.0
