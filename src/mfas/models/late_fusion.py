"""Late fusion: three encoders, their features concatenated, zeros where a modality is missing.

The plain baseline every other system is held against: same backbones, augmentation, epochs and missing-pattern
schedule as `mfas_danet`, no complementary features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from mfas.card import Preprocess
from mfas.config import Config
from mfas.core import MODALITIES, Batch, Modality
from mfas.models.contract import FasModel, LossStep, Maps, ModelOutput, without_complements
from mfas.models.registry import register
from mfas.models.trunks import ModalityTrunks, cross_entropy, fused_head, head_loss


class LateFusionArchitecture(Config):
    """Backbone name and options, width of the fused head's hidden layer."""

    backbone: str = "compact"
    backbone_options: dict[str, Any] = Field(default_factory=dict)
    fused_hidden: int = Field(64, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)


@register("late_fusion")
class LateFusion(FasModel):
    """Concatenation with zero-fill."""

    Architecture = LateFusionArchitecture

    def __init__(self, spec: Preprocess, architecture: LateFusionArchitecture) -> None:
        super().__init__(spec, architecture)
        self.trunks = ModalityTrunks(spec, architecture.backbone, architecture.backbone_options)
        self.fused = fused_head(3 * self.trunks.feature_dim, architecture.fused_hidden, architecture.dropout)

    def lower(self, batch: Batch) -> Maps:
        """See `FasModel.lower`."""
        return self.trunks.lower(batch)

    def upper(self, maps: Maps, present: Tensor) -> ModelOutput:
        """See `FasModel.upper`."""
        features = self.trunks.features(maps, present)
        return without_complements(
            self.fused(torch.cat([features[m] for m in MODALITIES], dim=1)).squeeze(1),
            self.trunks.logits(features, present),
            features,
            present,
        )

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
        """See `FasModel.fusion_names`: the fused head's first layer."""
        return tuple(name for name, _ in self.named_parameters() if name.startswith("fused.0."))

    def training_loss(self, batch: Batch, target: Tensor, step: LossStep) -> Tensor:
        """Cross-entropy of heads, of the fused head on all there is, and on a random missing pattern."""
        full = self(batch)
        kept = step.drop(batch.present)
        visible = [full.features[m] * kept[:, i : i + 1] for i, m in enumerate(MODALITIES)]
        partial = self.fused(torch.cat(visible, dim=1)).squeeze(1)
        loss = cross_entropy(full.logit, target, step) + cross_entropy(partial, target, step)
        return loss + head_loss(full.modality_logits, batch.present, target, step)
