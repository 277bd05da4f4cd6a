"""IF-MMIN: a cascade of auto-encoders imagines missing features with the help of modality-invariant ones.

Zuo et al., ICASSP 2023 (arXiv 2210.15359), made for emotion recognition and carried over to faces;
`docs/methods/if_mmin.md` says line by line what is the paper's and what is ours. Names follow that page: ``h`` the
modality-specific features side by side, ``H'`` their invariant features, ``z_k`` the code of the k-th auto-encoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from mfas.card import Preprocess
from mfas.config import Config
from mfas.core import MODALITIES, Batch, Modality
from mfas.models.contract import FasModel, LossStep, Maps, ModelOutput
from mfas.models.registry import register
from mfas.models.trunks import ModalityTrunks, cross_entropy, head_loss


class IfMminArchitecture(Config):
    """Backbone, the cascade's length and widths, the share of epochs that trains the teacher, loss weights."""

    backbone: str = "compact"
    backbone_options: dict[str, Any] = Field(default_factory=dict)
    blocks: int = Field(5, ge=1)
    code_widths: tuple[int, ...] = Field((256, 128, 64), min_length=1)
    classifier_width: int = Field(128, ge=1)
    dropout: float = Field(0.3, ge=0, lt=1)
    moments: int = Field(5, ge=1)
    teacher_share: float = Field(0.33, ge=0, lt=1)
    weight_moments: float = Field(1.0, ge=0)
    weight_imagination: float = Field(1.0, ge=0)
    weight_invariance: float = Field(1.0, ge=0)


@dataclass(frozen=True, slots=True)
class _Imagined:
    """What the cascade makes of a batch: ``logit`` ``[B]``; ``features``, ``invariant`` ``[B, 3, D]``."""

    logit: Tensor
    features: Tensor
    invariant: Tensor


class AutoEncoder(nn.Module):
    """``widths`` from input to code, linear with LeakyReLU between, and the same way back."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.encoder = _layers(widths)
        self.decoder = _layers(widths[::-1])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, widths[0]]`` to the code ``[B, widths[-1]]`` and the output ``[B, widths[0]]``."""
        code: Tensor = self.encoder(x)
        return code, self.decoder(code)


@register("if_mmin")
class IfMmin(FasModel):
    """Encoders, one shared invariant encoder, the cascade; a copy of the former two stands still and teaches."""

    Architecture = IfMminArchitecture
    architecture: IfMminArchitecture
    batch_pairs: ClassVar[bool] = True
    taught: Tensor

    def __init__(self, spec: Preprocess, architecture: IfMminArchitecture) -> None:
        super().__init__(spec, architecture)
        a = architecture
        self.trunks = ModalityTrunks(spec, a.backbone, a.backbone_options)
        dim = self.trunks.feature_dim
        self.shared = nn.Sequential(nn.Linear(dim, dim), nn.LeakyReLU(), nn.Linear(dim, dim), nn.LeakyReLU())
        self.teacher_classifier = _classifier(6 * dim, a.classifier_width, a.dropout)
        self.cascade = nn.ModuleList(AutoEncoder((3 * dim, *a.code_widths)) for _ in range(a.blocks))
        self.imagine = nn.Sequential(nn.Linear(3 * dim, 3 * dim), nn.ReLU(), nn.Linear(3 * dim, 3 * dim))
        self.classifier = _classifier(a.blocks * a.code_widths[-1], a.classifier_width, a.dropout)
        # Part of the model though no score needs it: a training that is taken up again must find the same teacher.
        self.teacher_trunks, self.teacher_shared = deepcopy(self.trunks), deepcopy(self.shared)
        self.register_buffer("taught", torch.zeros((), dtype=torch.bool))
        self.train(self.training)

    def frozen_modules(self) -> list[nn.Module]:
        """The teacher."""
        return [self.teacher_trunks, self.teacher_shared]

    def lower(self, batch: Batch) -> Maps:
        """See `FasModel.lower`."""
        return self.trunks.lower(batch)

    def upper(self, maps: Maps, present: Tensor) -> ModelOutput:
        """See `FasModel.upper`; the complements are the imagined features of what is missing, zero elsewhere."""
        features = self.trunks.features(maps, present)
        seen = self._imagine(features, present)
        missing = seen.features * ~present[:, :, None]
        return ModelOutput(
            logit=seen.logit,
            modality_logits=self.trunks.logits(features, present),
            features=features,
            complements=dict(zip(MODALITIES, missing.unbind(1), strict=True)),
            present=present,
            substituted=~present,
            enhanced=torch.zeros(present.shape, device=present.device),
        )

    def heads(self, features: Mapping[Modality, Tensor], present: Tensor) -> Tensor:
        """See `FasModel.heads`."""
        return self.trunks.logits(features, present)

    def upper_modules(self, modality: Modality) -> list[nn.Module]:
        """See `FasModel.upper_modules`."""
        return self.trunks.upper_modules(modality)

    def training_loss(self, batch: Batch, target: Tensor, step: LossStep) -> Tensor:
        """Equation (1) in the first ``teacher_share`` of the epochs, (2) afterwards; both where there is one epoch."""
        present = batch.present
        features = self.trunks.features(self.trunks.lower(batch), present)
        # The heads are ours and serve the evidence of adaptation: the published losses alone shape the features.
        own = {m: x.detach() for m, x in features.items()}
        loss = head_loss(self.trunks.logits(own, present), present, target, step)
        first = teacher_epochs(step.epochs, self.architecture.teacher_share)
        if step.epoch < first or not first:
            self.taught.fill_(False)
            loss = loss + self._teacher_loss(features, present, target, step)
        if step.epoch >= first:
            known = self._taught(batch) if first else self._known(self.shared, features)
            loss = loss + self._student_loss(features, present, known, target, step)
        return loss

    def _imagine(self, features: Mapping[Modality, Tensor], present: Tensor) -> _Imagined:
        seen = torch.stack([features[m] for m in MODALITIES], dim=1) * present[:, :, None]
        invariant: Tensor = self.shared(seen)
        x, codes = seen.flatten(1), []
        for block in self.cascade:
            code, x = block(x + invariant.flatten(1))
            codes.append(code)
        logit: Tensor = self.classifier(torch.cat(codes, dim=1)).squeeze(1)
        return _Imagined(logit, self.imagine(x).view_as(seen), invariant)

    def _teacher_loss(
        self, features: Mapping[Modality, Tensor], present: Tensor, target: Tensor, step: LossStep
    ) -> Tensor:
        specific = torch.stack([features[m] for m in MODALITIES], dim=1)
        invariant = self.shared(specific) * present[:, :, None]
        logit = self.teacher_classifier(torch.cat([specific, invariant], dim=1).flatten(1)).squeeze(1)
        bounded, distances = torch.sigmoid(invariant), []
        for one, other in combinations(range(len(MODALITIES)), 2):
            both = present[:, one] & present[:, other]
            if bool(both.any()):
                moments = self.architecture.moments
                distances.append(central_moment_discrepancy(bounded[both, one], bounded[both, other], moments))
        loss = cross_entropy(logit, target, step)
        if distances:
            loss = loss + self.architecture.weight_moments * torch.stack(distances).mean()
        return loss

    def _student_loss(
        self,
        features: Mapping[Modality, Tensor],
        present: Tensor,
        known: tuple[Tensor, Tensor],
        target: Tensor,
        step: LossStep,
    ) -> Tensor:
        a, kept = self.architecture, step.drop(present)
        whole, partial = self._imagine(features, present), self._imagine(features, kept)
        imagination = _mean_square(partial.features - known[0], present & ~kept, step)
        invariance = _mean_square(partial.invariant - known[1], present, step)
        loss = cross_entropy(whole.logit, target, step) + cross_entropy(partial.logit, target, step)
        return loss + a.weight_imagination * imagination + a.weight_invariance * invariance

    @torch.no_grad()
    def _taught(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the teacher knows of a batch; it is what encoders and shared encoder were when first asked."""
        if not bool(self.taught):
            self.teacher_trunks.load_state_dict(self.trunks.state_dict())
            self.teacher_shared.load_state_dict(self.shared.state_dict())
            self.taught.fill_(True)
        lower = self.teacher_trunks.lower(batch)
        return self._known(self.teacher_shared, self.teacher_trunks.features(lower, batch.present))

    @torch.no_grad()
    def _known(self, shared: nn.Module, features: Mapping[Modality, Tensor]) -> tuple[Tensor, Tensor]:
        """Specific and invariant features ``[B, 3, D]`` of all there is."""
        known = torch.stack([features[m] for m in MODALITIES], dim=1)
        return known, shared(known)


def teacher_epochs(epochs: int, share: float) -> int:
    """Epochs that train the teacher: ``share`` of them, rounded, at least one and not all; 0 where there is only one.

    ``share`` 0 gives 0: no stage of its own.
    """
    if epochs < 2 or share == 0:
        return 0
    return min(epochs - 1, max(1, round(share * epochs)))


def central_moment_discrepancy(x: Tensor, y: Tensor, moments: int) -> Tensor:
    """Distance of two samples ``[N, D]`` and ``[M, D]`` with values in [0, 1] (Zellinger et al., ICLR 2017).

    Euclidean distance of the means plus that of the central moments of order 2 to ``moments``, each per dimension.
    """
    mean_x, mean_y = x.mean(dim=0), y.mean(dim=0)
    x, y = x - mean_x, y - mean_y
    total = _norm(mean_x - mean_y)
    for order in range(2, moments + 1):
        total = total + _norm(x.pow(order).mean(dim=0) - y.pow(order).mean(dim=0))
    return total


def _norm(difference: Tensor) -> Tensor:
    # Two equal samples must give a gradient of zero, not NaN.
    return (difference.square().sum() + 1e-14).sqrt()


def _mean_square(difference: Tensor, slots: Tensor, step: LossStep) -> Tensor:
    """Mean square of ``[B, 3, D]`` over the slots that are marked in ``[B, 3]``; 0 where none is."""
    count = slots.sum()
    total: Tensor = (difference.square().mean(dim=2) * slots).sum() / count.clamp_min(1) * step.share(count)
    return total


def _layers(widths: tuple[int, ...]) -> nn.Sequential:
    parts: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        parts += [nn.Linear(inputs, outputs), nn.LeakyReLU()]
    # The last layer is linear: features have both signs.
    return nn.Sequential(*parts[:-1])


def _classifier(inputs: int, hidden: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, 1),
    )
