"""VP-FAS: a frozen transformer made flexible by visual prompts (Yu et al., arXiv 2307.13958, IEEE TDSC 2024).

Only the abstract was available; `docs/methods/vp_fas.md` says what is the paper's and what is ours. Vanilla prompts are
learnt tokens chosen by which modalities there are; residual contextual prompts are made of the tokens themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from mfas.card import Preprocess
from mfas.config import Config
from mfas.core import MODALITIES, Batch, Modality
from mfas.models.contract import FasModel, LossStep, Maps, ModelOutput, without_complements
from mfas.models.registry import register
from mfas.models.trunks import cross_entropy, head_loss
from mfas.models.vit_shared import VitBlock, VitOptions
from mfas.models.vit_trunks import VitTrunks

PATTERNS = 2 ** len(MODALITIES) - 1
"""Non-empty sets of modalities: each has its own vanilla prompts."""


class VpFasArchitecture(Config):
    """The trunk, the two kinds of prompts, blocks with norms per modality, weight of the regularisation."""

    vit: VitOptions = VitOptions()
    prompts: int = Field(8, ge=1)
    prompt_blocks: int = Field(3, ge=1)
    context_rank: int = Field(16, ge=1)
    own_norms: int = Field(2, ge=1)
    weight_consistency: float = Field(1.0, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> VpFasArchitecture:
        for key in ("prompt_blocks", "own_norms"):
            if getattr(self, key) > self.vit.depth:
                raise ValueError(f"expected {key} of at most depth {self.vit.depth}, got {getattr(self, key)}")
        return self


@dataclass(frozen=True, slots=True)
class _Read:
    """Embedding of the class token ``[B, D]`` and the logit ``[B]`` read from it."""

    embedding: Tensor
    logit: Tensor


class ContextPrompt(nn.Module):
    """One block's contextual prompt: a low-rank map of the mean token, added to the prompt of the block before."""

    def __init__(self, dim: int, rank: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(dim, rank), nn.GELU(), nn.Linear(rank, dim))

    def forward(self, mean: Tensor, before: Tensor) -> Tensor:
        """Mean token and previous prompt ``[B, D]`` to this block's prompt ``[B, D]``."""
        out: Tensor = before + self.body(mean)
        return out


@register("vp_fas")
class VpFas(FasModel):
    """One frozen transformer over the tokens of all modalities; prompts, a head and a few norms learn."""

    Architecture = VpFasArchitecture
    architecture: VpFasArchitecture

    def __init__(self, spec: Preprocess, architecture: VpFasArchitecture) -> None:
        super().__init__(spec, architecture)
        a = architecture
        self.trunks = VitTrunks(spec, a.vit, depth=0)
        dim = a.vit.dim
        self.prompts = nn.Parameter(torch.empty(a.prompt_blocks, PATTERNS, a.prompts, dim))
        nn.init.trunc_normal_(self.prompts, std=0.02)
        self.context = nn.ModuleList(ContextPrompt(dim, a.context_rank) for _ in range(a.vit.depth))
        last = [block.norm1 for block in self.trunks.blocks()[-a.own_norms :]]
        self.norms = nn.ModuleDict(
            {m.value: nn.ModuleList(deepcopy(each).requires_grad_(True) for each in last) for m in MODALITIES}
        )
        self.fused = nn.Linear(dim, 1)

    def frozen_modules(self) -> list[nn.Module]:
        """See `FasModel.frozen_modules`."""
        return self.trunks.frozen_modules()

    def lower(self, batch: Batch) -> Maps:
        """See `FasModel.lower`: embedded patches. Modalities meet in every block, so no block can run below the cut."""
        return self.trunks.lower(batch)

    def upper(self, maps: Maps, present: Tensor) -> ModelOutput:
        """See `FasModel.upper`."""
        features = self.trunks.features(maps, present)
        return without_complements(
            self._read(maps, present).logit, self.trunks.logits(features, present), features, present
        )

    def heads(self, features: Mapping[Modality, Tensor], present: Tensor) -> Tensor:
        """See `FasModel.heads`."""
        return self.trunks.logits(features, present)

    def upper_modules(self, modality: Modality) -> list[nn.Module]:
        """The last blocks' norms for the patches of ``modality``."""
        return [self.norms[modality.value]]

    def training_loss(self, batch: Batch, target: Tensor, step: LossStep) -> Tensor:
        """Cross-entropy on everything and on a random pattern, and the distance of the two embeddings, equation (2)."""
        present = batch.present
        maps = self.lower(batch)
        whole, partial = self._read(maps, present), self._read(maps, step.drop(present))
        consistency = (whole.embedding - partial.embedding).square().mean()
        heads = head_loss(self.trunks.logits(self.trunks.features(maps, present), present), present, target, step)
        loss = cross_entropy(whole.logit, target, step) + cross_entropy(partial.logit, target, step) + heads
        return loss + self.architecture.weight_consistency * consistency

    def _read(self, maps: Maps, present: Tensor) -> _Read:
        vit, count = self.trunks.vit, present.shape[0]
        parts = [
            self.trunks.tokens(maps, m, count)[:, 1:] * present[:, i, None, None] for i, m in enumerate(MODALITIES)
        ]
        first = (vit.class_token + vit.position[:, :1]).expand(count, -1, -1)
        tokens = torch.cat([first, *parts], dim=1)
        observed = present.repeat_interleave(vit.tokens, dim=1)
        observed = torch.cat([observed.new_ones(count, 1), observed], dim=1)[:, :, None].to(tokens.dtype)
        context = tokens.new_zeros(count, tokens.shape[2])
        pattern = pattern_index(present)
        for number, (block, make) in enumerate(zip(self.trunks.blocks(), self.context, strict=True)):
            context = make((tokens * observed).sum(dim=1) / observed.sum(dim=1), context)
            prompts = [context[:, None]]
            if number < len(self.prompts):
                prompts.append(self.prompts[number][pattern])
            tokens = torch.cat([tokens, *prompts], dim=1)
            own = number - (vit.depth - self.architecture.own_norms)
            tokens = block(tokens) if own < 0 else self._run(block, tokens, own)
            tokens = tokens[:, : observed.shape[1]]  # what prompts became is not passed on
        embedding = vit.finish(tokens[:, 0])
        return _Read(embedding, self.fused(embedding).squeeze(1))

    def _run(self, block: VitBlock, tokens: Tensor, own: int) -> Tensor:
        """A block whose attention reads the patches of each modality through that modality's norm."""
        patches = len(MODALITIES) * self.trunks.vit.tokens
        parts = tokens[:, 1 : 1 + patches].chunk(len(MODALITIES), dim=1)
        normed = [self.norms[m.value][own](part) for m, part in zip(MODALITIES, parts, strict=True)]  # type: ignore[index]
        first, prompts = block.norm1(tokens[:, :1]), block.norm1(tokens[:, 1 + patches :])
        tokens = tokens + block.attention(torch.cat([first, *normed, prompts], dim=1))
        return tokens + block.feed(tokens)


def pattern_index(present: Tensor) -> Tensor:
    """Number in [0, 6] of each row's pattern: RGB counts 1, depth 2, infrared 4, less one."""
    weight = torch.tensor([1, 2, 4], device=present.device)
    return (present * weight).sum(dim=1) - 1
