"""Cross-modal focal loss: a head learns less from a capture that the other modalities already get right.

George and Marcel, *Cross Modal Focal Loss for RGBD Face Anti-Spoofing*, CVPR 2021 (arXiv 2103.00948). The network is
plain late fusion with a head per modality; the loss is the method. `docs/methods/cmfl.md` says what differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from mfas.card import Preprocess
from mfas.config import Config
from mfas.core import MODALITIES, Batch, Modality
from mfas.models.contract import FasModel, LossStep, Maps, ModelOutput, without_complements
from mfas.models.registry import register
from mfas.models.trunks import ModalityTrunks, cross_entropy


class CmflArchitecture(Config):
    """Backbone; ``alpha`` and ``gamma`` of the focal term; ``share`` of the heads' loss beside the joint head's."""

    backbone: str = "compact"
    backbone_options: dict[str, Any] = Field(default_factory=dict)
    alpha: float = Field(1.0, gt=0)
    gamma: float = Field(3.0, ge=0)
    share: float = Field(0.5, gt=0, lt=1)


def confidence(own: Tensor, other: Tensor) -> Tensor:
    """``w(p, q) = q * 2pq / (p + q)`` of true-class probabilities in [0, 1]: near 1 only where both are sure.

    Harmonic mean times the other's probability, so a modality that is alone in being sure keeps its loss.
    """
    return other * 2 * own * other / (own + other).clamp_min(1e-12)


def cross_modal_focal(
    logits: Tensor, present: Tensor, target: Tensor, goal: Tensor, alpha: float, gamma: float
) -> Tensor:
    """Mean over captures of ``alpha (1 - w(p_m, p_n))^gamma CE(p_m)`` over ordered pairs of observed modalities.

    ``logits`` ``[B, 3]``, ``present`` bool ``[B, 3]``, ``target`` ``[B]`` in {0, 1} picks the true class, ``goal``
    ``[B, 3]`` is what the cross-entropy aims at (``target`` or its smoothed value). A capture's sum is divided by the
    number of observed modalities less one: with two it is the paper's sum of both directions. One that is alone has
    plain cross-entropy.
    """
    true = torch.sigmoid(logits * (2 * target[:, None] - 1))
    losses = bce(logits, goal, reduction="none") * present
    count = present.sum(dim=1)
    total = losses.sum(dim=1) * (count == 1)
    for m in range(len(MODALITIES)):
        for n in range(len(MODALITIES)):
            if m != n:
                doubt = (1 - confidence(true[:, m], true[:, n])).clamp_min(1e-6)
                total = total + alpha * doubt**gamma * losses[:, m] * present[:, n] / (count - 1).clamp_min(1)
    return total.mean()


@register("cmfl")
class Cmfl(FasModel):
    """One encoder and head per modality, one linear head on all features with zero-fill."""

    Architecture = CmflArchitecture
    architecture: CmflArchitecture

    def __init__(self, spec: Preprocess, architecture: CmflArchitecture) -> None:
        super().__init__(spec, architecture)
        self.trunks = ModalityTrunks(spec, architecture.backbone, architecture.backbone_options)
        self.joint = nn.Linear(3 * self.trunks.feature_dim, 1)

    def lower(self, batch: Batch) -> Maps:
        """See `FasModel.lower`."""
        return self.trunks.lower(batch)

    def upper(self, maps: Maps, present: Tensor) -> ModelOutput:
        """See `FasModel.upper`."""
        features = self.trunks.features(maps, present)
        return without_complements(
            self._join(features, present), self.trunks.logits(features, present), features, present
        )

    def heads(self, features: Mapping[Modality, Tensor], present: Tensor) -> Tensor:
        """See `FasModel.heads`."""
        return self.trunks.logits(features, present)

    def upper_modules(self, modality: Modality) -> list[nn.Module]:
        """See `FasModel.upper_modules`."""
        return self.trunks.upper_modules(modality)

    def fusion_names(self) -> tuple[str, ...]:
        """Names of the parameters that weigh modalities against each other: the joint head."""
        return ("joint.weight", "joint.bias")

    def training_loss(self, batch: Batch, target: Tensor, step: LossStep) -> Tensor:
        """Joint cross-entropy on all there is and on a random missing pattern, and the focal loss of the heads."""
        a = self.architecture
        full = self(batch)
        partial = self._join(full.features, step.drop(batch.present))
        heads = full.modality_logits
        goal = step.goal(target[:, None].expand_as(heads), heads)
        focal = cross_modal_focal(heads, batch.present, target, goal, a.alpha, a.gamma)
        joint = cross_entropy(full.logit, target, step) + cross_entropy(partial, target, step)
        return (1 - a.share) * joint + a.share * focal

    def _join(self, features: Mapping[Modality, Tensor], present: Tensor) -> Tensor:
        seen = [features[m] * present[:, i : i + 1] for i, m in enumerate(MODALITIES)]
        logit: Tensor = self.joint(torch.cat(seen, dim=1)).squeeze(1)
        return logit
