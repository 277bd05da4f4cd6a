"""MMDG: modalities hear each other through uncertain adapters in a frozen transformer, and learn at one speed.

Lin et al., *Suppress and Rebalance*, CVPR 2024 (arXiv 2402.19298); `docs/methods/mmdg.md` says what is the paper's and
what differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from mfas.card import Preprocess
from mfas.config import Config
from mfas.core import MODALITIES, Batch, Modality
from mfas.models.contract import FasModel, LossStep, Maps, ModelOutput, without_complements
from mfas.models.mmdg_parts import Prototypes, UncertainAdapter, certainty, dropout_spread
from mfas.models.registry import register
from mfas.models.regrad import regrad
from mfas.models.trunks import cross_entropy, head_loss
from mfas.models.vit_shared import VitOptions
from mfas.models.vit_trunks import VitTrunks

SENDERS: Mapping[Modality, tuple[Modality, ...]] = {
    Modality.RGB: (Modality.DEPTH, Modality.IR),
    Modality.DEPTH: (Modality.RGB,),
    Modality.IR: (Modality.RGB,),
}
"""Whom a modality hears: a star around RGB; depth and infrared never meet."""


class MmdgArchitecture(Config):
    """The trunk, the adapters, the dropout that measures certainty, prototypes, and whether gradients are modulated.

    ``fused_blocks``: last blocks in which modalities meet; None = all, as published.
    """

    vit: VitOptions = VitOptions()
    fused_blocks: int | None = Field(None, ge=1)
    adapter_width: int = Field(8, ge=1)
    adapter_heads: int = Field(8, ge=1)
    theta: float = Field(0.5, ge=0, le=1)
    dropout: float = Field(0.2, ge=0, lt=1)
    mc_passes: int = Field(20, ge=2)
    mc_rate: float = Field(0.3, gt=0, lt=1)
    mc_seed: int = Field(0, ge=0)
    sensitivity: float = Field(2.25, ge=0)
    attack_prototypes: int = Field(8, ge=1)
    prototype_momentum: float = Field(0.9, ge=0, lt=1)
    weight_prototype: float = Field(0.3, ge=0)
    rebalance: bool = True

    @property
    def fused(self) -> int:
        """How many blocks fuse."""
        return self.vit.depth if self.fused_blocks is None else self.fused_blocks

    @model_validator(mode="after")
    def _fits(self) -> MmdgArchitecture:
        if self.fused > self.vit.depth:
            raise ValueError(f"expected fused_blocks of at most depth {self.vit.depth}, got {self.fused}")
        if self.adapter_width % self.adapter_heads:
            raise ValueError("expected adapter_width as a multiple of adapter_heads")
        return self


@dataclass(frozen=True, slots=True)
class _Fused:
    """Class tokens per modality ``[B, D]`` (zero where absent), the logit ``[B]``, last-block certainties ``[B]``."""

    features: dict[Modality, Tensor]
    logit: Tensor
    certain: dict[Modality, Tensor]


@dataclass(frozen=True, slots=True)
class _Losses:
    """What ReGrad leaves alone, and one prototype loss and certainty per modality that the batch has."""

    plain: Tensor
    prototype: dict[Modality, Tensor]
    certain: dict[Modality, Tensor]


@register("mmdg")
class Mmdg(FasModel):
    """Three streams through one frozen trunk, adapters between them, one linear head on their class tokens."""

    Architecture = MmdgArchitecture
    architecture: MmdgArchitecture
    spread: Tensor

    def __init__(self, spec: Preprocess, architecture: MmdgArchitecture) -> None:
        super().__init__(spec, architecture)
        a, dim = architecture, architecture.vit.dim
        self.trunks = VitTrunks(spec, a.vit, depth=a.vit.depth - a.fused)
        self.adapters = nn.ModuleDict(
            {
                m.value: nn.ModuleList(
                    nn.ModuleDict(
                        {
                            n.value: UncertainAdapter(dim, a.adapter_width, a.adapter_heads, a.theta, a.dropout)
                            for n in SENDERS[m]
                        }
                    )
                    for _ in range(a.fused)
                )
                for m in MODALITIES
            }
        )
        self.norms = nn.ModuleDict({m.value: nn.LayerNorm(dim) for m in MODALITIES})
        for norm in self.norms.values():
            norm.load_state_dict(self.trunks.vit.norm.state_dict())
        self.joint = nn.Linear(len(MODALITIES) * dim, 1)
        self.prototypes = Prototypes(len(MODALITIES), a.attack_prototypes, dim, a.prototype_momentum)
        tokens = (1 + self.trunks.vit.tokens, dim)
        self.register_buffer("spread", dropout_spread(a.mc_passes, a.mc_rate, a.mc_seed, tokens))

    def frozen_modules(self) -> list[nn.Module]:
        """See `FasModel.frozen_modules`."""
        return self.trunks.frozen_modules()

    def lower(self, batch: Batch) -> Maps:
        """See `FasModel.lower`: the blocks before the modalities meet."""
        return self.trunks.lower(batch)

    def upper(self, maps: Maps, present: Tensor) -> ModelOutput:
        """See `FasModel.upper`."""
        features = self.trunks.features(maps, present)
        return without_complements(
            self._fuse(maps, present).logit, self.trunks.logits(features, present), features, present
        )

    def heads(self, features: Mapping[Modality, Tensor], present: Tensor) -> Tensor:
        """See `FasModel.heads`."""
        return self.trunks.logits(features, present)

    def upper_modules(self, modality: Modality) -> list[nn.Module]:
        """The adapters through which ``modality`` hears others, and the norm of its class token."""
        return [self.adapters[modality.value], self.norms[modality.value]]

    def fusion_names(self) -> tuple[str, ...]:
        """Names of the adapters' projections to queries, keys and values."""
        parts = {"query", "key", "value"}
        return tuple(
            name for name, _ in self.named_parameters() if name.startswith("adapters.") and parts & set(name.split("."))
        )

    def training_step(self, batch: Batch, target: Tensor, step: LossStep, backward: Callable[[Tensor], None]) -> Tensor:
        """Gradients of `training_loss`, with ReGrad in place of the sum of prototype losses, see `rebalanced`."""
        losses = self._losses(batch, target, step)
        total = self._total(losses)
        backward(self.rebalanced(losses, step) if self.architecture.rebalance else total)
        return total.detach()

    def training_loss(self, batch: Batch, target: Tensor, step: LossStep) -> Tensor:
        """Cross-entropy under a random missing pattern, the witnesses' losses and the prototype losses."""
        return self._total(self._losses(batch, target, step))

    def rebalanced(self, losses: _Losses, step: LossStep) -> Tensor:
        """The loss of `training_loss`, plus terms of value zero that turn its gradient into ReGrad's.

        For every parameter ``p`` of a modality the term is ``(p - p.detach()) * (ReGrad's gradient - the sum's)``, so
        that one backward pass serves any precision and any number of processes. The gradients compared are those of
        the whole batch.
        """
        a, names = self.architecture, [m for m in MODALITIES if m in losses.prototype]
        total = self._total(losses)
        if len(names) < 2:
            return total
        own = {m: [p for part in self.upper_modules(m) for p in part.parameters()] for m in names}
        every = [p for m in names for p in own[m]]
        slopes = [[step.shard.mean(slope) for slope in _slopes(losses.prototype[m], every)] for m in names]
        speeds = torch.stack([step.shard.mean(losses.prototype[m]) for m in names])
        fast, certain = int(speeds.argmin()), [losses.certain[m] for m in names]
        index = 0
        for k, m in enumerate(names):
            for parameter in own[m]:
                parts = [slope[index] for slope in slopes]
                change = regrad(parts, certain, k, fast) - torch.stack(parts).sum(dim=0)
                total = total + a.weight_prototype * ((parameter - parameter.detach()) * change).sum()
                index += 1
        return total

    def _total(self, losses: _Losses) -> Tensor:
        weighed = [self.architecture.weight_prototype * loss for loss in losses.prototype.values()]
        return losses.plain + torch.stack(weighed).sum()

    def _losses(self, batch: Batch, target: Tensor, step: LossStep) -> _Losses:
        live = target > 0.5
        # One pass per capture: whole as often as where a loss of the whole stands beside one of a random pattern.
        maps, kept = self.lower(batch), step.drop(batch.present, keep_all=0.65)
        fused = self._fuse(maps, kept)
        own = self.trunks.logits(self.trunks.features(maps, batch.present), batch.present)
        plain = cross_entropy(fused.logit, target, step) + head_loss(own, batch.present, target, step)
        classes = self.prototypes.classes(live, step.sites)
        if self.training:
            self._remember(fused.features, kept, classes, step)
        prototype, certain = {}, {}
        for column, m in enumerate(MODALITIES):
            rows = kept[:, column]
            share = step.share(rows.sum())
            sums = step.shard.mean(torch.stack([fused.certain[m][rows].sum(), rows.sum().to(target.dtype)]))
            if float(sums[1]) == 0:
                continue
            # A process without such captures has a loss of zero, but has it: all must compare the same gradients.
            loss = self.prototypes.loss(fused.features[m][rows], column, classes[rows])
            prototype[m], certain[m] = share * loss, sums[0] / sums[1]
        return _Losses(plain, prototype, certain)

    @torch.no_grad()
    def _remember(self, features: Mapping[Modality, Tensor], kept: Tensor, classes: Tensor, step: LossStep) -> None:
        chosen = nn.functional.one_hot(classes, self.prototypes.centres.shape[1])[:, None] * kept[:, :, None]
        weights = chosen.to(features[MODALITIES[0]].dtype)  # [B, 3, classes]
        stacked = torch.stack([features[m].detach() for m in MODALITIES], dim=1)
        totals = torch.einsum("bmk,bmd->mkd", weights, stacked)
        self.prototypes.update(step.shard.mean(totals), step.shard.mean(weights.sum(dim=0)))

    def _fuse(self, maps: Maps, present: Tensor) -> _Fused:
        a, count = self.architecture, present.shape[0]
        there = [m for m in MODALITIES if m in maps]
        seen = {m: present[:, i, None].to(self.joint.weight.dtype) for i, m in enumerate(MODALITIES)}
        streams = {m: self.trunks.tokens(maps, m, count) * seen[m][:, :, None] for m in there}
        certain = {m: seen[m] * 0 for m in MODALITIES}
        for level, block in enumerate(self.trunks.blocks()[-a.fused :]):
            attended = {m: block.attend(x) for m, x in streams.items()}
            certain |= {m: certainty(x, self.spread, a.sensitivity) for m, x in attended.items()}
            between = {m: streams[m] + attended[m] for m in there}
            normed = {m: block.norm2(x) for m, x in between.items()}
            for m in there:
                heard = block.mlp(normed[m])
                for n in SENDERS[m]:
                    if n in streams:
                        told = self._adapter(m, level, n)(normed[m], normed[n], certain[n])
                        heard = heard + told * seen[n][:, :, None]
                streams[m] = between[m] + heard
        none = self.joint.weight.new_zeros(count, self.trunks.feature_dim)
        features = {m: self.norms[m.value](streams[m][:, 0]) * seen[m] if m in maps else none for m in MODALITIES}
        logit = self.joint(torch.cat([features[m] for m in MODALITIES], dim=1)).squeeze(1)
        return _Fused(features, logit, {m: x[:, 0] for m, x in certain.items()})

    def _adapter(self, receiver: Modality, level: int, sender: Modality) -> UncertainAdapter:
        adapter = self.adapters[receiver.value][level][sender.value]  # type: ignore[index]
        assert isinstance(adapter, UncertainAdapter)
        return adapter


def _slopes(loss: Tensor, parameters: list[nn.Parameter]) -> tuple[Tensor, ...]:
    """Gradients of ``loss``; zeros where it does not depend on a parameter, or on any."""
    if not loss.requires_grad:
        return tuple(torch.zeros_like(p) for p in parameters)
    return torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
