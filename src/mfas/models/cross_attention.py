"""Cross-attention fusion: tokens of each observed modality ask those of the other observed modalities.

After the cross-attention baseline of the flexible-modal benchmark (Yu et al., CVPRW 2023, arXiv 2202.08192), made
independent of which modality is there; `docs/methods/cross_attention.md` says what is the paper's and what is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt, sqrt
from typing import Any

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from mfas.card import Preprocess
from mfas.config import Config
from mfas.core import MODALITIES, Batch, Modality
from mfas.models.contract import FasModel, LossStep, Maps, ModelOutput, without_complements
from mfas.models.registry import register
from mfas.models.trunks import ModalityTrunks, cross_entropy, head_loss


class CrossAttentionArchitecture(Config):
    """Backbone; width and heads of the attention; channels of the convolution behind it; dropout before the head."""

    backbone: str = "compact"
    backbone_options: dict[str, Any] = Field(default_factory=dict)
    attention_width: int = Field(64, ge=1)
    attention_heads: int = Field(4, ge=1)
    fused_channels: int = Field(64, ge=16, multiple_of=16)
    dropout: float = Field(0.3, ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> CrossAttentionArchitecture:
        if self.attention_width % self.attention_heads:
            raise ValueError("attention_width must be a multiple of attention_heads")
        return self


class CrossAttentionFusion(nn.Module):
    """``T_n + O_n softmax(Q_n K^T / sqrt(d)) V``, keys and values over all tokens of the other observed modalities.

    One softmax runs over the tokens of both others, so the attention also weighs the one against the other. Its
    projections belong to a modality: the tokens come from different encoders.
    """

    def __init__(self, dim: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = (nn.ModuleDict({m.value: nn.Linear(dim, width) for m in MODALITIES}) for _ in range(3))
        self.out = nn.ModuleDict({m.value: nn.Linear(width, dim) for m in MODALITIES})

    def forward(self, tokens: Mapping[Modality, Tensor], present: Tensor) -> Tensor:
        """Tokens ``[B, N, D]`` per modality to the mean of the observed ones after attention, ``[B, N, D]``.

        Rows of absent modalities are masked, whatever they hold. A modality that is alone passes unchanged.
        """
        keys = {m: self._split(self.k[m.value](tokens[m])) for m in MODALITIES}
        values = {m: self._split(self.v[m.value](tokens[m])) for m in MODALITIES}
        total = torch.zeros_like(tokens[MODALITIES[0]])
        for column, n in enumerate(MODALITIES):
            others = [m for m in MODALITIES if m is not n]
            count = tokens[n].shape[1]
            open_ = torch.cat([present[:, MODALITIES.index(m), None].expand(-1, count) for m in others], dim=1)
            query = self._split(self.q[n.value](tokens[n]))
            key, value = torch.cat([keys[m] for m in others], dim=2), torch.cat([values[m] for m in others], dim=2)
            logits = query @ key.transpose(2, 3) / sqrt(query.shape[-1])
            # A finite floor: with nobody to ask, the softmax stays a number and its answer is multiplied by zero.
            weights = logits.masked_fill(~open_[:, None, None, :], -1e4).softmax(dim=-1)
            answer = self.out[n.value]((weights @ value).transpose(1, 2).flatten(2))
            asked = open_.any(dim=1)[:, None, None].to(answer.dtype)
            total = total + present[:, column, None, None].to(answer.dtype) * (tokens[n] + asked * answer)
        return total / present.sum(dim=1)[:, None, None].to(total.dtype)

    def _split(self, x: Tensor) -> Tensor:
        """``[B, N, W]`` to ``[B, heads, N, W / heads]``."""
        count, length, width = x.shape
        return x.reshape(count, length, self.heads, width // self.heads).transpose(1, 2)


@register("cross_attention")
class CrossAttention(FasModel):
    """Three encoders, cross-attention over their tokens, a convolution and one linear head."""

    Architecture = CrossAttentionArchitecture

    def __init__(self, spec: Preprocess, architecture: CrossAttentionArchitecture) -> None:
        super().__init__(spec, architecture)
        a = architecture
        self.trunks = ModalityTrunks(spec, a.backbone, a.backbone_options)
        dim = self.trunks.feature_dim
        self.attention = CrossAttentionFusion(dim, a.attention_width, a.attention_heads)
        self.mix = nn.Sequential(
            nn.Conv2d(dim, a.fused_channels, 3, padding=1, bias=False),
            nn.GroupNorm(a.fused_channels // 16, a.fused_channels),
            nn.ReLU(inplace=True),
        )
        self.fused = nn.Sequential(nn.Dropout(a.dropout), nn.Linear(a.fused_channels, 1))

    def lower(self, batch: Batch) -> Maps:
        """See `FasModel.lower`."""
        return self.trunks.lower(batch)

    def upper(self, maps: Maps, present: Tensor) -> ModelOutput:
        """See `FasModel.upper`."""
        tokens = self.trunks.tokens(maps, present)
        features = {m: x.mean(dim=1) for m, x in tokens.items()}
        return without_complements(
            self._fuse(tokens, present), self.trunks.logits(features, present), features, present
        )

    def heads(self, features: Mapping[Modality, Tensor], present: Tensor) -> Tensor:
        """See `FasModel.heads`."""
        return self.trunks.logits(features, present)

    def upper_modules(self, modality: Modality) -> list[nn.Module]:
        """See `FasModel.upper_modules`."""
        return self.trunks.upper_modules(modality)

    def fusion_names(self) -> tuple[str, ...]:
        """Names of the projections to queries, keys and values: what weighs modalities against each other."""
        roots = tuple(f"attention.{part}." for part in "qkv")
        return tuple(name for name, _ in self.named_parameters() if name.startswith(roots))

    def training_loss(self, batch: Batch, target: Tensor, step: LossStep) -> Tensor:
        """Cross-entropy on all there is and on a random missing pattern; the heads learn beside it, detached."""
        tokens = self.trunks.tokens(self.lower(batch), batch.present)
        kept = step.drop(batch.present)
        loss = cross_entropy(self._fuse(tokens, batch.present), target, step)
        loss = loss + cross_entropy(self._fuse(tokens, kept), target, step)
        features = {m: x.detach().mean(dim=1) for m, x in tokens.items()}
        return loss + head_loss(self.trunks.logits(features, batch.present), batch.present, target, step)

    def _fuse(self, tokens: Mapping[Modality, Tensor], present: Tensor) -> Tensor:
        fused = self.attention(tokens, present)
        count, length, dim = fused.shape
        side = isqrt(length)
        grid = fused.transpose(1, 2).reshape(count, dim, side, side).contiguous()
        logit: Tensor = self.fused(self.mix(grid).mean(dim=(2, 3))).squeeze(1)
        return logit
