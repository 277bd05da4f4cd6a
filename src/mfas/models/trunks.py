"""Building blocks that several models share: encoders with heads per modality, the fused head, their losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from mfas.card import Preprocess
from mfas.core import MODALITIES, Batch, Modality
from mfas.models.backbones import Backbone, create_backbone
from mfas.models.contract import LossStep, Maps, run_on_rows


class ModalityTrunks(nn.Module):
    """One backbone and one linear head per modality."""

    def __init__(self, spec: Preprocess, backbone: str, options: dict[str, Any]) -> None:
        super().__init__()
        if backbone == "vit":
            options = {"image_size": spec.size, **options}
        self.encoders = nn.ModuleDict(
            {m.value: create_backbone(backbone, spec.channels(m), **options) for m in MODALITIES}
        )
        self.feature_dim = self.encoder(MODALITIES[0]).feature_dim
        self.lower_channels = self.encoder(MODALITIES[0]).lower_channels
        self.heads = nn.ModuleDict({m.value: nn.Linear(self.feature_dim, 1) for m in MODALITIES})

    def encoder(self, modality: Modality) -> Backbone:
        """The backbone of one modality."""
        module = self.encoders[modality.value]
        assert isinstance(module, Backbone)
        return module

    def head(self, modality: Modality) -> nn.Linear:
        """The linear head of one modality."""
        module = self.heads[modality.value]
        assert isinstance(module, nn.Linear)
        return module

    def lower(self, batch: Batch) -> dict[Modality, Tensor]:
        """Maps of the modalities that any capture of the batch has."""
        out: dict[Modality, Tensor] = {}
        for column, modality in enumerate(MODALITIES):
            rows = batch.present[:, column]
            if bool(rows.any()):
                images = batch.images[modality].contiguous(memory_format=torch.channels_last)
                out[modality] = run_on_rows(self.encoder(modality), images, rows, "lower")
        return out

    def features(self, maps: Maps, present: Tensor) -> dict[Modality, Tensor]:
        """Features ``[B, D]`` of observed modalities, zero rows elsewhere."""
        out: dict[Modality, Tensor] = {}
        for column, modality in enumerate(MODALITIES):
            rows = present[:, column]
            if modality in maps and bool(rows.any()):
                out[modality] = run_on_rows(self.encoder(modality), maps[modality], rows, "upper")
            else:
                weight = self.head(modality).weight
                out[modality] = weight.new_zeros(present.shape[0], self.feature_dim)
        return out

    def tokens(self, maps: Maps, present: Tensor) -> dict[Modality, Tensor]:
        """Tokens ``[B, N, D]`` of observed modalities before pooling, zero rows elsewhere; N the same for all three."""
        out: dict[Modality, Tensor] = {}
        for column, modality in enumerate(MODALITIES):
            rows = present[:, column]
            if modality in maps and bool(rows.any()):
                out[modality] = run_on_rows(self.encoder(modality), maps[modality].contiguous(), rows, "tokens")
        shape = next(iter(out.values()))
        return {m: out[m] if m in out else torch.zeros_like(shape) for m in MODALITIES}

    def logits(self, features: Mapping[Modality, Tensor], present: Tensor) -> Tensor:
        """Per-modality logits ``[B, 3]``, zero where not observed."""
        columns = [self.head(m)(features[m]).squeeze(1) for m in MODALITIES]
        return torch.stack(columns, dim=1).masked_fill(~present, 0.0)

    def upper_modules(self, modality: Modality) -> list[nn.Module]:
        """What runs above the cut for one modality."""
        return self.encoder(modality).upper_modules()


def fused_head(inputs: int, hidden: int, dropout: float) -> nn.Sequential:
    """Two layers to one logit."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 1))


def cross_entropy(logit: Tensor, target: Tensor, step: LossStep) -> Tensor:
    """Mean cross-entropy of logits with targets of the same shape (1 = bona fide), smoothed as ``step`` says."""
    return bce(logit, step.goal(target, logit))


def head_loss(logits: Tensor, present: Tensor, target: Tensor, step: LossStep | None = None) -> Tensor:
    """Mean cross-entropy of each observed head, summed over modalities; ``target`` ``[B]``, 1 = bona fide.

    ``step`` smooths the targets and weighs the mean over processes.
    """
    target = target[:, None].expand_as(logits)
    losses = bce(logits, target if step is None else step.goal(target, logits), reduction="none") * present
    count = present.sum(dim=0)
    share = step.share(count) if step is not None else 1.0
    total: Tensor = (losses.sum(dim=0) / count.clamp_min(1) * share).sum()
    return total
