"""DADM: mutual-information masks and difference adapters in a frozen transformer, sites and modalities aligned.

Yang et al., ICCV 2025 (arXiv 2503.00429); `docs/methods/dadm.md` says what is the paper's and what differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from mfas.card import Preprocess
from mfas.config import Config
from mfas.core import MODALITIES, Batch, Modality
from mfas.models.contract import FasModel, LossStep, Maps, ModelOutput, without_complements
from mfas.models.dadm_losses import angle_margin, information_bound, pull_together
from mfas.models.dadm_parts import DifferenceAdapter, MutualMask
from mfas.models.registry import register
from mfas.models.trunks import cross_entropy, head_loss
from mfas.models.vit_shared import VitBlock, VitOptions
from mfas.models.vit_trunks import VitTrunks

COUPLES = tuple(combinations(range(len(MODALITIES)), 2))
"""RGB and depth, RGB and infrared, depth and infrared, as columns."""


class DadmArchitecture(Config):
    """The trunk, masks and adapters, one hyperplane per source site, the weights of the losses.

    ``fused_blocks``: last blocks in which modalities meet; None = all, as published. ``mask_width``: what a couple
    shares, in channels; None = a third of the tokens' width, as published.
    """

    vit: VitOptions = VitOptions()
    fused_blocks: int | None = Field(None, ge=1)
    mask_width: int | None = Field(None, ge=2, multiple_of=2)
    adapter_width: int = Field(8, ge=1)
    theta: float = Field(0.7, ge=0, le=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    own_norms: int = Field(1, ge=1)
    hyperplanes: int = Field(3, ge=1)
    pull: float = Field(0.005, ge=0, lt=1)
    weight_information: float = Field(0.1, ge=0)
    weight_angle: float = Field(0.3, ge=0)

    @property
    def fused(self) -> int:
        """How many blocks fuse."""
        return self.vit.depth if self.fused_blocks is None else self.fused_blocks

    @property
    def width(self) -> int:
        """Channels of what a couple shares, an even number."""
        return max(2, self.vit.dim // 6 * 2) if self.mask_width is None else self.mask_width

    @model_validator(mode="after")
    def _fits(self) -> DadmArchitecture:
        if self.fused > self.vit.depth:
            raise ValueError(f"expected fused_blocks of at most depth {self.vit.depth}, got {self.fused}")
        if self.own_norms > self.fused:
            raise ValueError(f"expected own_norms of at most the {self.fused} fused blocks, got {self.own_norms}")
        return self


@dataclass(frozen=True, slots=True)
class _Fused:
    """Class tokens ``[B, 3, D]``, logits by hyperplane ``[B, E]``, information tokens by block and couple."""

    features: Tensor
    logits: Tensor
    info: list[tuple[Tensor, Tensor]]


class OwnNorms(nn.Module):
    """One modality's copies of the norms of the last blocks, and of the final one; they begin as the trunk's."""

    def __init__(self, blocks: list[VitBlock], final: nn.Module) -> None:
        super().__init__()
        self.first = nn.ModuleList(_learning(block.norm1) for block in blocks)
        self.second = nn.ModuleList(_learning(block.norm2) for block in blocks)
        self.final = _learning(final)


@register("dadm")
class Dadm(FasModel):
    """Three streams through one frozen trunk; couples of streams mask each other, each stream has its adapters.

    Buffer ``learnt`` bool ``[E]``: which hyperplanes a site has trained. With fewer sites the others are still random,
    and stay out of the score and of the pull.
    """

    Architecture = DadmArchitecture
    architecture: DadmArchitecture
    batch_pairs: ClassVar[bool] = True
    learnt: Tensor

    def __init__(self, spec: Preprocess, architecture: DadmArchitecture) -> None:
        super().__init__(spec, architecture)
        a, dim = architecture, architecture.vit.dim
        self.trunks = VitTrunks(spec, a.vit, depth=a.vit.depth - a.fused)
        self.masks = nn.ModuleList(nn.ModuleList(MutualMask(dim, a.width) for _ in COUPLES) for _ in range(a.fused))
        self.adapters = nn.ModuleDict(
            {
                m.value: nn.ModuleList(
                    DifferenceAdapter(dim, a.adapter_width, a.theta, a.dropout) for _ in range(a.fused)
                )
                for m in MODALITIES
            }
        )
        last = self.trunks.blocks()[-a.own_norms :]
        self.norms = nn.ModuleDict({m.value: OwnNorms(last, self.trunks.vit.norm) for m in MODALITIES})
        self.hyperplanes = nn.Parameter(torch.empty(a.hyperplanes, len(MODALITIES) * dim))
        nn.init.trunc_normal_(self.hyperplanes, std=0.02)
        self.register_buffer("learnt", torch.zeros(a.hyperplanes, dtype=torch.bool))

    def frozen_modules(self) -> list[nn.Module]:
        """See `FasModel.frozen_modules`."""
        return self.trunks.frozen_modules()

    def lower(self, batch: Batch) -> Maps:
        """See `FasModel.lower`: the blocks before the modalities meet."""
        return self.trunks.lower(batch)

    def upper(self, maps: Maps, present: Tensor) -> ModelOutput:
        """See `FasModel.upper`; the mean of the hyperplanes that have learnt decides."""
        features = self.trunks.features(maps, present)
        counted = (self.learnt | ~self.learnt.any()).to(self.hyperplanes.dtype)
        logit = self._fuse(maps, present).logits @ (counted / counted.sum())
        return without_complements(logit, self.trunks.logits(features, present), features, present)

    def heads(self, features: Mapping[Modality, Tensor], present: Tensor) -> Tensor:
        """See `FasModel.heads`."""
        return self.trunks.logits(features, present)

    def upper_modules(self, modality: Modality) -> list[nn.Module]:
        """The norms and adapters of ``modality``'s stream."""
        return [self.norms[modality.value], self.adapters[modality.value]]

    def training_step(self, batch: Batch, target: Tensor, step: LossStep, backward: Callable[[Tensor], None]) -> Tensor:
        """The hyperplanes are pulled together before the batch, which is after the optimiser's previous step."""
        if bool(self.learnt.any()):
            with torch.no_grad():
                self.hyperplanes[self.learnt] = pull_together(self.hyperplanes[self.learnt], self.architecture.pull)
        return super().training_step(batch, target, step, backward)

    def training_loss(self, batch: Batch, target: Tensor, step: LossStep) -> Tensor:
        """Equation (4): each capture by its site's hyperplane, under a random missing pattern, and both alignments."""
        a = self.architecture
        maps, kept = self.lower(batch), step.drop(batch.present)
        fused = self._fuse(maps, kept)
        own = self.trunks.logits(self.trunks.features(maps, batch.present), batch.present)
        loss = head_loss(own, batch.present, target, step)
        loss = loss - a.weight_information * _information(fused, kept)
        if self.training:
            self._remember(step)
        if step.sites is None:
            return loss + cross_entropy(fused.logits, target[:, None].expand_as(fused.logits), step)
        plane = (step.sites % a.hyperplanes)[:, None]
        loss = loss + cross_entropy(fused.logits.gather(1, plane).squeeze(1), target, step)
        return loss + a.weight_angle * angle_margin(fused.features, kept, target > 0.5, step.sites)

    @torch.no_grad()
    def _remember(self, step: LossStep) -> None:
        """Which hyperplanes the batch of all processes trains: those of its sites; without sites, all."""
        counts = torch.ones_like(self.learnt, dtype=torch.float32)
        if step.sites is not None:
            counts = torch.bincount(step.sites % len(self.learnt), minlength=len(self.learnt)).float()
        self.learnt |= step.shard.mean(counts) > 0

    def _fuse(self, maps: Maps, present: Tensor) -> _Fused:
        count, blocks = present.shape[0], self.trunks.blocks()
        seen = present.to(self.hyperplanes.dtype)[:, :, None, None]
        streams = [self.trunks.tokens(maps, m, count) * seen[:, i] for i, m in enumerate(MODALITIES)]
        info: list[tuple[Tensor, Tensor]] = []
        for level, block in enumerate(blocks[-self.architecture.fused :]):
            norms = [self._norms(block, level, m) for m in MODALITIES]
            attended = [block.attention(norm[0](x)) for norm, x in zip(norms, streams, strict=True)]
            aligned, told = self._align(level, attended, seen)
            info += told
            for i, m in enumerate(MODALITIES):
                x = streams[i] + attended[i]
                streams[i] = x + block.mlp(norms[i][1](x)) + self._adapt(level, m, aligned[i])
        last = [self._own(m).final(streams[i][:, 0]) for i, m in enumerate(MODALITIES)]
        features = torch.stack(last, dim=1) * present[:, :, None]
        return _Fused(features, features.flatten(1) @ self.hyperplanes.T, info)

    def _align(
        self, level: int, attended: list[Tensor], seen: Tensor
    ) -> tuple[list[Tensor], list[tuple[Tensor, Tensor]]]:
        """What each stream's adapter reads: the mean of what its observed partners made of it, alone its own."""
        total, partners = [torch.zeros_like(x) for x in attended], [torch.zeros_like(seen[:, 0]) for _ in attended]
        info = []
        for couple, (i, j) in enumerate(COUPLES):
            aligned = self.masks[level][couple](attended[i], attended[j])  # type: ignore[index]
            for own, other, tokens in ((i, j, aligned.tokens[0]), (j, i, aligned.tokens[1])):
                total[own] = total[own] + tokens * seen[:, other]
                partners[own] = partners[own] + seen[:, other]
            info.append(aligned.info)
        read = [
            torch.where(n > 0, x / n.clamp_min(1), alone) for n, x, alone in zip(partners, total, attended, strict=True)
        ]
        return read, info

    def _adapt(self, level: int, modality: Modality, tokens: Tensor) -> Tensor:
        out: Tensor = self.adapters[modality.value][level](tokens)  # type: ignore[index]
        return out

    def _norms(self, block: VitBlock, level: int, modality: Modality) -> tuple[nn.Module, nn.Module]:
        own = level - (self.architecture.fused - self.architecture.own_norms)
        if own < 0:
            return block.norm1, block.norm2
        norms = self._own(modality)
        return norms.first[own], norms.second[own]

    def _own(self, modality: Modality) -> OwnNorms:
        norms = self.norms[modality.value]
        assert isinstance(norms, OwnNorms)
        return norms


def _information(fused: _Fused, present: Tensor) -> Tensor:
    """Mean bound over blocks and couples, each over the captures that have both modalities; 0 without any."""
    bounds = []
    for number, (a, b) in enumerate(fused.info):
        i, j = COUPLES[number % len(COUPLES)]
        rows = present[:, i] & present[:, j]
        if bool(rows.any()):
            bounds.append(information_bound(a[rows], b[rows]))
    return torch.stack(bounds).mean() if bounds else fused.logits.new_zeros(())


def _learning(norm: nn.Module) -> nn.Module:
    return deepcopy(norm).requires_grad_(True)
