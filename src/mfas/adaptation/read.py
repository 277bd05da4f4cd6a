"""READ (Yang et al., ICLR 2024): adapt only the layers where modalities meet, by a loss that doubts unsure scores.

What differs with two classes and without attention: `docs/methods/read.md`.
"""

from __future__ import annotations

from math import log

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import logsigmoid

from mfas.adaptation.live import NOT_FINITE, finite
from mfas.adaptation.online import Learnt, OnlineAdapter
from mfas.adaptation.registry import register
from mfas.adaptation.surface import contiguous_norms, fusion_names
from mfas.adaptation.two_class import prior_divergence
from mfas.config import Config
from mfas.core import Batch
from mfas.models.contract import FasModel


class ReadSettings(Config):
    """Adam as published; ``gamma`` for two classes, since the published 1/e is below every winning score."""

    learning_rate: float = Field(1e-4, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1, description="Adam's beta1")
    gamma: float = Field(0.75, gt=0, le=1, description="score of the winning class from which on it is sharpened")
    balance: float = Field(1.0, ge=0, description="weight of the class-balance term")
    prior: float = Field(0.5, gt=0, lt=1, description="bona fide share that the balance term asks for")


def confidence_loss(logit: Tensor, gamma: float) -> Tensor:
    r"""$\ell(z) = \hat p\,(1 + \ln\gamma - \ln\hat p)$, $\hat p = \sigma(|z|)$ the winning class's score; same shape.

    $d\ell / d\hat p = \ln(\gamma / \hat p)$: descent raises $\hat p$ where it is above ``gamma`` and lowers it below.

    >>> confidence_loss(torch.tensor([0.0]), 0.5).tolist()
    [0.5]
    """
    certain = logsigmoid(logit.abs())
    return certain.exp() * (1 + log(gamma) - certain)


@register("read")
class Read(OnlineAdapter):
    """One step per batch on the layers that the model names as its fusion (`FasModel.fusion_names`)."""

    Settings = ReadSettings
    settings: ReadSettings

    def surface_of(self, model: FasModel) -> frozenset[str]:
        """See `OnlineAdapter.surface_of`."""
        return fusion_names(model)

    def learn(self, batch: Batch) -> Learnt:
        """See `OnlineAdapter.learn`."""
        own = self.settings
        with self._live.differentiable(), contiguous_norms(self._model):
            output = self._model(batch)
            confidence = confidence_loss(output.logit, own.gamma).mean()
            balance = prior_divergence(output.logit, own.prior)
            loss = confidence + own.balance * balance
            gradients = torch.autograd.grad(loss, list(self._live.values.values()), allow_unused=True)
        amount = float(loss.detach())
        if not finite(amount, gradients):
            return Learnt(output, reason=NOT_FINITE)
        self._optimiser.step(gradients)
        signals = {"confidence_loss": float(confidence.detach()), "prior_divergence": float(balance.detach())}
        return Learnt(output, amount, rows=range(len(batch)), signals=signals)
