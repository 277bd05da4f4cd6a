"""MFAS-DANet: complementary features substitute missing modalities and enhance weak ones (arXiv 2509.23475).

The paper's text beyond its abstract was not available; `docs/methods/mfas_danet.md` says line by line what is the
paper's and what is ours. Names follow that page: ``c[m->n]`` complement of n drawn from m, ``c_n`` their mean over the
observed others, ``f~_n`` the feature that reaches the fused head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from mfas.card import Preprocess
from mfas.config import Config
from mfas.core import MODALITIES, Batch, Modality
from mfas.models.contract import FasModel, LossStep, Maps, ModelOutput
from mfas.models.pooling import average_grid
from mfas.models.registry import register
from mfas.models.trunks import ModalityTrunks, cross_entropy, fused_head, head_loss

PAIRS: tuple[tuple[Modality, Modality], ...] = tuple((m, n) for m in MODALITIES for n in MODALITIES if m is not n)
"""The six ordered pairs (from, to)."""


class MfasDanetArchitecture(Config):
    """Backbone, the extractors' grid and rank, the enhancement gate's ceiling, and the weights of the training loss."""

    backbone: str = "compact"
    backbone_options: dict[str, Any] = Field(default_factory=dict)
    fused_hidden: int = Field(64, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    complement_grid: int = Field(3, ge=1)
    complement_rank: int = Field(64, ge=1)
    enhance_max: float = Field(0.5, ge=0, le=1)
    weight_discriminative: float = Field(0.5, ge=0)
    weight_reconstruction: float = Field(1.0, ge=0)


class ComplementExtractor(nn.Module):
    """``c[m->n]``: from the lower map of m, pooled to a small grid, a low-rank perceptron into n's feature space."""

    def __init__(self, channels: int, feature_dim: int, grid: int, rank: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(channels * grid * grid, rank),
            nn.ReLU(),
            nn.Linear(rank, feature_dim),
            nn.LayerNorm(feature_dim),
        )

    def forward(self, pooled: Tensor) -> Tensor:
        """``[B, C, grid, grid]`` to ``[B, D]``."""
        out: Tensor = self.body(pooled.flatten(1))
        return out


@register("mfas_danet")
class MfasDanet(FasModel):
    """Three encoders, six complementary extractors, per-modality heads and a fused head."""

    Architecture = MfasDanetArchitecture
    architecture: MfasDanetArchitecture

    def __init__(self, spec: Preprocess, architecture: MfasDanetArchitecture) -> None:
        super().__init__(spec, architecture)
        a = architecture
        self.trunks = ModalityTrunks(spec, a.backbone, a.backbone_options)
        dim, channels = self.trunks.feature_dim, self.trunks.lower_channels
        self.extractors = nn.ModuleDict(
            {
                f"{m.value}_to_{n.value}": ComplementExtractor(channels, dim, a.complement_grid, a.complement_rank)
                for m, n in PAIRS
            }
        )
        self.gates = nn.ModuleDict({m.value: nn.Linear(2 * dim, 1) for m in MODALITIES})
        self.fused = fused_head(3 * dim, a.fused_hidden, a.dropout)

    def lower(self, batch: Batch) -> Maps:
        """See `FasModel.lower`."""
        return self.trunks.lower(batch)

    def upper(self, maps: Maps, present: Tensor) -> ModelOutput:
        """See `FasModel.upper`."""
        features = self.trunks.features(maps, present)
        return self._fuse(features, self._pairwise(maps, features), present)

    def heads(self, features: Mapping[Modality, Tensor], present: Tensor) -> Tensor:
        """See `FasModel.heads`."""
        return self.trunks.logits(features, present)

    def upper_modules(self, modality: Modality) -> list[nn.Module]:
        """See `FasModel.upper_modules`."""
        return self.trunks.upper_modules(modality)

    def score_bias(self) -> str:
        """See `FasModel.score_bias`."""
        return f"fused.{len(self.fused) - 1}.bias"

    def fusion_names(self) -> tuple[str, ...]:
        """See `FasModel.fusion_names`: enhancement gates and the fused head's first layer."""
        return tuple(name for name, _ in self.named_parameters() if name.startswith(("gates.", "fused.0.")))

    def training_loss(self, batch: Batch, target: Tensor, step: LossStep) -> Tensor:
        """Source-training loss, `docs/methods/mfas_danet.md` equation (4)."""
        maps = self.lower(batch)
        features = self.trunks.features(maps, batch.present)
        pairwise = self._pairwise(maps, features)
        full = self._fuse(features, pairwise, batch.present)
        partial = self._fuse(features, pairwise, step.drop(batch.present))
        loss = cross_entropy(full.logit, target, step) + cross_entropy(partial.logit, target, step)
        loss = loss + head_loss(full.modality_logits, batch.present, target, step)
        return loss + self._complement_loss(features, pairwise, batch.present, target, step)

    def _pairwise(self, maps: Maps, features: dict[Modality, Tensor]) -> dict[tuple[Modality, Modality], Tensor]:
        out = {}
        pooled = {m: average_grid(h, self.architecture.complement_grid) for m, h in maps.items()}
        for m, n in PAIRS:
            if m in maps:
                out[m, n] = self.extractors[f"{m.value}_to_{n.value}"](pooled[m])
            else:
                out[m, n] = torch.zeros_like(features[n])
        return out

    def _fuse(
        self,
        features: dict[Modality, Tensor],
        pairwise: dict[tuple[Modality, Modality], Tensor],
        present: Tensor,
    ) -> ModelOutput:
        seen = {m: present[:, i : i + 1].to(features[m].dtype) for i, m in enumerate(MODALITIES)}
        complements: dict[Modality, Tensor] = {}
        final, enhanced = [], []
        for n in MODALITIES:
            others = [m for m in MODALITIES if m is not n]
            count = sum((seen[m] for m in others), torch.zeros_like(seen[n]))
            total = sum((seen[m] * pairwise[m, n] for m in others), torch.zeros_like(features[n]))
            complement = total / count.clamp_min(1)
            has_other = (count > 0).to(complement.dtype)
            gate = torch.sigmoid(self.gates[n.value](torch.cat([features[n], complement], dim=1)))
            share = self.architecture.enhance_max * gate * seen[n] * has_other
            mixed = (1 - share) * features[n] + share * complement
            final.append(seen[n] * mixed + (1 - seen[n]) * complement)
            complements[n] = complement
            enhanced.append(share.squeeze(1))
        return ModelOutput(
            logit=self.fused(torch.cat(final, dim=1)).squeeze(1),
            modality_logits=self.trunks.logits(features, present),
            features=features,
            complements=complements,
            present=present,
            substituted=~present,
            enhanced=torch.stack(enhanced, dim=1),
        )

    def _complement_loss(
        self,
        features: dict[Modality, Tensor],
        pairwise: dict[tuple[Modality, Modality], Tensor],
        present: Tensor,
        target: Tensor,
        step: LossStep,
    ) -> Tensor:
        """Complements must be classified by the head of their target and, on live captures, point where it points."""
        a, live = self.architecture, target > 0.5
        total = target.new_zeros(())
        for m, n in PAIRS:
            source, both = (
                present[:, MODALITIES.index(m)],
                present[:, [MODALITIES.index(m), MODALITIES.index(n)]].all(1),
            )
            c, rows = pairwise[m, n], both & live
            classed, drawn = step.share(source.sum()), step.share(rows.sum())
            if bool(source.any()):
                logit = self.trunks.heads[n.value](c).squeeze(1)
                told = cross_entropy(logit[source], target[source], step)
                total = total + a.weight_discriminative * classed * told
            if bool(rows.any()):
                near = 1 - cosine_similarity(c[rows], features[n][rows].detach(), dim=1)
                total = total + a.weight_reconstruction * drawn * near.mean()
        return total
