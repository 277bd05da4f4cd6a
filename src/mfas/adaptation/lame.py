"""LAME (Boudiaf et al., CVPR 2022): scores of a batch agree with those of their neighbours; no weight moves.

What differs with one logit and missing modalities: `docs/methods/lame.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from mfas.adaptation.registry import register
from mfas.adaptation.stateless import StatelessAdapter
from mfas.config import Config
from mfas.core import MODALITIES, Batch, Modality, Prediction
from mfas.models.contract import to_prediction

_SETTLED = 1e-9
"""Largest change of any score in a round after which there is no further one."""


class LameSettings(Config):
    """As in the released code; nothing is tuned here."""

    neighbours: int = Field(5, ge=1)
    weight: float = Field(1.0, gt=0, description="of agreement against the model's own score")
    max_rounds: int = Field(100, ge=1)


def affinity(features: Mapping[Modality, Tensor], present: Tensor, neighbours: int) -> Tensor:
    """Ones ``[B, B]`` at each row's nearest others, at most ``neighbours`` of them, by cosine of features ``[B, D]``.

    The cosine is the mean over modalities that both captures have; captures that share none are never neighbours.
    """
    seen = present.double()
    shared = seen @ seen.T
    total = torch.zeros_like(shared)
    for column, modality in enumerate(MODALITIES):
        unit = normalize(features[modality].detach().double(), dim=1) * seen[:, column : column + 1]
        total += unit @ unit.T
    similar = (total / shared.clamp_min(1)).masked_fill(shared == 0, -torch.inf).fill_diagonal_(-torch.inf)
    nearest = similar.topk(min(neighbours, len(similar)), dim=1)
    return torch.zeros_like(similar).scatter_(1, nearest.indices, nearest.values.isfinite().double())


def agree(logit: Tensor, weights: Tensor, max_rounds: int) -> Tensor:
    r"""Scores ``[B]`` with $y_i = \sigma(z_i + \sum_j w_{ij} (2 y_j - 1))$, found by repetition from $\sigma(z)$.

    ``logit`` ``[B]`` and ``weights`` ``[B, B]``, both float64. With two classes $y$ and $1 - y$ this is the published
    softmax of $\log p + W Y$.
    """
    y = torch.sigmoid(logit)
    for _ in range(max_rounds):
        before, y = y, torch.sigmoid(logit + weights @ (2 * y - 1))
        if float((y - before).abs().max()) <= _SETTLED:
            break
    return y


@register("lame")
class Lame(StatelessAdapter):
    """The fused score is adjusted within each batch; the heads' scores stay the model's."""

    Settings = LameSettings
    settings: LameSettings
    reason = "lame moves no weight"
    batch_independent = False

    @torch.no_grad()
    def predict(self, batch: Batch) -> Prediction:
        """See `Adapter.predict`."""
        s, output = self.settings, self._model(batch)
        weights = s.weight * affinity(output.features, output.present, s.neighbours)
        score = agree(output.logit.double(), weights, s.max_rounds)
        return replace(to_prediction(output), score=score.to(output.logit.dtype))
