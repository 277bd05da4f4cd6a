"""OAP (Belli et al., ICIP 2022) as re-coded by the authors of 3A-TTA: a classifier learns its own balanced decisions.

The paper's own rule could not be read. What is known and what is ours: `docs/methods/oap.md`.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import softplus

from mfas.adaptation.live import NOT_FINITE, finite
from mfas.adaptation.online import Learnt, OnlineAdapter
from mfas.adaptation.registry import register
from mfas.adaptation.surface import classifier_names
from mfas.config import Config
from mfas.core import Batch, Label
from mfas.models.contract import FasModel


class OapSettings(Config):
    """Boundary as re-coded; the rate is that of 3A-TTA, whose authors compared the two. Nothing is tuned here."""

    learning_rate: float = Field(1e-4, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1, description="Adam's beta1")
    boundary: float = Field(0.5, gt=0, lt=1, description="score from which a pseudo label is bona fide")


def balanced_loss(logit: Tensor, bona_fide: Tensor) -> Tensor:
    r"""Mean of $\log(1 + e^{-z})$ over bona fide pseudo labels plus mean of $\log(1 + e^z)$ over the others.

    ``logit`` float ``[B]``, ``bona_fide`` bool ``[B]``; a class that the batch lacks adds nothing.
    """
    parts = [softplus(-logit[bona_fide]), softplus(logit[~bona_fide])]
    return torch.stack([part.mean() for part in parts if len(part)]).sum()


@register("oap")
class Oap(OnlineAdapter):
    """One step per batch on the fused head alone, both classes of pseudo labels weighing the same."""

    Settings = OapSettings

    def surface_of(self, model: FasModel) -> frozenset[str]:
        """What makes the fused score of features and complements."""
        return classifier_names(model, "logit")

    def learn(self, batch: Batch) -> Learnt:
        """See `OnlineAdapter.learn`."""
        with self._live.differentiable():
            output = self._model(batch)
            bona_fide = torch.sigmoid(output.logit.detach()) >= self.settings.boundary
            loss = balanced_loss(output.logit, bona_fide)
            gradients = torch.autograd.grad(loss, list(self._live.values.values()), allow_unused=True)
        amount = float(loss.detach())
        if not finite(amount, gradients):
            return Learnt(output, reason=NOT_FINITE)
        self._optimiser.step(gradients)
        labels = [Label.BONA_FIDE if one else Label.ATTACK for one in bona_fide.tolist()]
        return Learnt(output, amount, rows=range(len(batch)), labels=labels)
