"""CTNet: live captures go from one modality to the next alike, attacks do not (Chong et al., arXiv 2507.05575).

The paper's text beyond its abstract was not available; `docs/methods/ctnet.md` says what is the paper's, what comes
from its authors' public code and what is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, logsigmoid

from mfas.card import Preprocess
from mfas.config import Config
from mfas.core import MODALITIES, Batch, Modality
from mfas.models.contract import FasModel, LossStep, Maps, ModelOutput
from mfas.models.mfas_danet import ComplementExtractor
from mfas.models.pooling import average_grid
from mfas.models.registry import register
from mfas.models.transitions import alignment, consistency, distance, known, transitions, units
from mfas.models.trunks import ModalityTrunks, cross_entropy, fused_head, head_loss

LEARNT_FROM_RGB: tuple[Modality, ...] = (Modality.DEPTH, Modality.IR)
"""What the complements stand in for; nothing stands in for RGB."""


class CtnetArchitecture(Config):
    """Backbone, extractors, weights of the losses, memory of the live statistics, share of the transition score."""

    backbone: str = "compact"
    backbone_options: dict[str, Any] = Field(default_factory=dict)
    fused_hidden: int = Field(64, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    complement_grid: int = Field(3, ge=1)
    complement_rank: int = Field(64, ge=1)
    weight_consistency: float = Field(0.5, ge=0)
    weight_inconsistency: float = Field(0.5, ge=0)
    weight_separation: float = Field(0.1, ge=0)
    weight_complement: float = Field(1.0, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    transition_share: float = Field(0.5, ge=0, lt=1)


@register("ctnet")
class Ctnet(FasModel):
    """Three encoders, depth and infrared from RGB where they are missing, and a score of how strange transitions are.

    Buffers, learnt from live training captures: unit-feature ``prototypes`` ``[3, D]``, the first two ``moments`` of
    their transition distance, and the number of ``updates`` so far: of each prototype and of the moments.
    """

    Architecture = CtnetArchitecture
    architecture: CtnetArchitecture
    batch_pairs: ClassVar[bool] = True
    prototypes: Tensor
    moments: Tensor
    updates: Tensor

    def __init__(self, spec: Preprocess, architecture: CtnetArchitecture) -> None:
        super().__init__(spec, architecture)
        a = architecture
        self.trunks = ModalityTrunks(spec, a.backbone, a.backbone_options)
        dim, channels = self.trunks.feature_dim, self.trunks.lower_channels
        self.extractors = nn.ModuleDict(
            {n.value: ComplementExtractor(channels, dim, a.complement_grid, a.complement_rank) for n in LEARNT_FROM_RGB}
        )
        self.fused = fused_head(3 * dim, a.fused_hidden, a.dropout)
        self.register_buffer("prototypes", torch.zeros(len(MODALITIES), dim))
        self.register_buffer("moments", torch.tensor([0.0, 1.0]))
        self.register_buffer("updates", torch.zeros(len(MODALITIES) + 1, dtype=torch.long))

    def lower(self, batch: Batch) -> Maps:
        """See `FasModel.lower`."""
        return self.trunks.lower(batch)

    def upper(self, maps: Maps, present: Tensor) -> ModelOutput:
        """See `FasModel.upper`."""
        features = self.trunks.features(maps, present)
        complements = self._complements(maps, present, features)
        filled, available = fill(features, complements, present)
        class_logit = self.fused(torch.cat([filled[m] for m in MODALITIES], dim=1)).squeeze(1)
        return ModelOutput(
            logit=self._with_transitions(class_logit, filled, available),
            modality_logits=self.trunks.logits(features, present),
            features=features,
            complements=complements,
            present=present,
            substituted=available & ~present,
            enhanced=torch.zeros(present.shape, device=present.device),
        )

    def heads(self, features: Mapping[Modality, Tensor], present: Tensor) -> Tensor:
        """See `FasModel.heads`."""
        return self.trunks.logits(features, present)

    def upper_modules(self, modality: Modality) -> list[nn.Module]:
        """See `FasModel.upper_modules`."""
        return self.trunks.upper_modules(modality)

    def fusion_names(self) -> tuple[str, ...]:
        """Names of the parameters that weigh modalities against each other: the fused head's first layer."""
        return ("fused.0.weight", "fused.0.bias")

    def training_loss(self, batch: Batch, target: Tensor, step: LossStep) -> Tensor:
        """Cross-entropies, transition losses and complements; updates the live statistics in training mode."""
        a, present, live = self.architecture, batch.present, target > 0.5
        maps = self.lower(batch)
        features = self.trunks.features(maps, present)
        complements = self._complements(maps, present, features)
        loss = torch.zeros((), device=target.device)
        for seen in (present, step.drop(present)):
            filled, _ = fill(features, complements, seen)
            logit = self.fused(torch.cat([filled[m] for m in MODALITIES], dim=1)).squeeze(1)
            loss = loss + cross_entropy(logit, target, step)
        unit = units(features)
        if self.training:
            self._remember(unit.detach(), present & live[:, None], step)
        moved, pairs = transitions(unit), known(present)
        spoof, prototypes = ~live[:, None], self.prototypes.clone()
        loss = loss + a.weight_consistency * consistency(moved, pairs & live[:, None])
        loss = loss + a.weight_inconsistency * alignment(moved, transitions(prototypes), pairs & spoof)
        loss = loss + a.weight_separation * alignment(unit, prototypes, present & spoof)
        loss = loss + a.weight_complement * self._complement_loss(features, complements, present, target, live, step)
        detached = self.trunks.logits({m: f.detach() for m, f in features.items()}, present)
        return loss + head_loss(detached, present, target, step)

    def _complements(self, maps: Maps, present: Tensor, features: Mapping[Modality, Tensor]) -> dict[Modality, Tensor]:
        seen = present[:, MODALITIES.index(Modality.RGB), None]
        if Modality.RGB not in maps:
            return {n: torch.zeros_like(features[n]) for n in LEARNT_FROM_RGB}
        pooled = average_grid(maps[Modality.RGB], self.architecture.complement_grid)
        return {n: self.extractors[n.value](pooled) * seen for n in LEARNT_FROM_RGB}

    def _with_transitions(self, logit: Tensor, filled: Mapping[Modality, Tensor], available: Tensor) -> Tensor:
        """The logit of ``(1 - share) sigmoid(logit) + share sigmoid(-z)``; ``z`` = standardised distance."""
        share = self.architecture.transition_share
        if share == 0:
            return logit
        rows = known(available)
        strange = distance(transitions(units(filled)), transitions(self.prototypes), rows)
        spread = (self.moments[1] - self.moments[0].square()).clamp_min(1e-6).sqrt()
        usual = (self.moments[0] - strange) / spread
        other = torch.where(rows.any(dim=1), usual, logit)
        return mix_logits(logit, other, share)

    def _complement_loss(
        self,
        features: Mapping[Modality, Tensor],
        complements: Mapping[Modality, Tensor],
        present: Tensor,
        target: Tensor,
        live: Tensor,
        step: LossStep,
    ) -> Tensor:
        """Complements are classified by the head of their target and, live, lie near the true unit feature."""
        total = target.new_zeros(())
        source = present[:, MODALITIES.index(Modality.RGB)]
        for n in LEARNT_FROM_RGB:
            both = source & present[:, MODALITIES.index(n)] & live
            classed, drawn = step.share(source.sum()), step.share(both.sum())
            logit = self.trunks.head(n)(complements[n]).squeeze(1)
            if bool(source.any()):
                total = total + classed * cross_entropy(logit[source], target[source], step)
            if bool(both.any()):
                # |a - b|^2 of unit vectors is 2 - 2 cos
                near = 2 - 2 * cosine_similarity(complements[n][both], features[n][both].detach(), dim=1)
                total = total + drawn * near.mean()
        return total

    @torch.no_grad()
    def _remember(self, unit: Tensor, live: Tensor, step: LossStep) -> None:
        """Moving averages over live captures of the batch, of all processes; a batch without any changes nothing."""
        rate = (self.updates / (self.updates + 1)).clamp_max(self.architecture.momentum)
        count = step.shard.mean(live.sum(dim=0).to(unit.dtype))
        total = step.shard.mean((unit * live[:, :, None]).sum(dim=0))
        mean = total / count.clamp_min(1e-12)[:, None]
        self.prototypes.copy_(
            torch.where(count[:, None] > 0, mean.lerp(self.prototypes, rate[:-1, None]), self.prototypes)
        )
        rows = known(live)
        strange = distance(transitions(unit), transitions(self.prototypes), rows)
        powers = torch.stack([torch.ones_like(strange), strange, strange.square()]) * rows.any(dim=1)
        sums = step.shard.mean(powers.sum(dim=1))
        moments = (sums[1:] / sums[0].clamp_min(1e-12)).lerp(self.moments, rate[-1])
        self.moments.copy_(torch.where(sums[0] > 0, moments, self.moments))
        self.updates += torch.cat([count, sums[:1]]) > 0


def fill(
    features: Mapping[Modality, Tensor], complements: Mapping[Modality, Tensor], present: Tensor
) -> tuple[dict[Modality, Tensor], Tensor]:
    """Observed features, complements where depth or infrared is missing beside RGB, zeros elsewhere.

    Returns the features ``[B, D]`` per modality and bool ``[B, 3]``: which of them are observed or substituted.
    """
    rgb = present[:, MODALITIES.index(Modality.RGB)]
    filled, available = {}, []
    for column, m in enumerate(MODALITIES):
        seen = present[:, column, None]
        instead = complements[m] * rgb[:, None] if m in complements else torch.zeros_like(features[m])
        filled[m] = torch.where(seen, features[m], instead)
        available.append(present[:, column] | rgb if m in complements else present[:, column])
    return filled, torch.stack(available, dim=1)


def mix_logits(one: Tensor, two: Tensor, share: float) -> Tensor:
    """Logit of ``(1 - share) sigmoid(one) + share sigmoid(two)``, exact where the sigmoids round to 0 or 1."""
    first, second = log(1 - share), log(share)
    up = torch.logaddexp(logsigmoid(one) + first, logsigmoid(two) + second)
    down = torch.logaddexp(logsigmoid(-one) + first, logsigmoid(-two) + second)
    return up - down
