"""TENT (Wang et al., ICLR 2021): minimise the entropy of every batch's own scores, from which nothing protects it.

What differs with one logit, without BatchNorm and with missing modalities: `docs/methods/tent.md`.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import softplus

from mfas.adaptation.live import NOT_FINITE, finite
from mfas.adaptation.norm_method import NormMethod
from mfas.adaptation.online import Learnt
from mfas.adaptation.registry import register
from mfas.config import Config
from mfas.core import Batch


class TentSettings(Config):
    """Adam as published for CIFAR-10-C (1e-3, beta1 0.9, batches of 200); nothing is tuned here."""

    learning_rate: float = Field(1e-3, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1, description="Adam's beta1")


def entropy(logit: Tensor) -> Tensor:
    r"""Entropy in nats, in [0, ln 2], of a score $\sigma(z)$: $H(z) = \log(1 + e^z) - z\,\sigma(z)$; same shape.

    Its slope is $-z\,\sigma(z)\,\sigma(-z)$: zero at $z = 0$, and away from 0 on either side.

    >>> entropy(torch.tensor([0.0, 40.0])).tolist()
    [0.6931471824645996, 0.0]
    """
    return softplus(logit) - logit * torch.sigmoid(logit)


@register("tent")
class Tent(NormMethod):
    """One gradient step per batch on the mean entropy of the fused scores; scale and shift of the norms move."""

    Settings = TentSettings

    def learn(self, batch: Batch) -> Learnt:
        """See `OnlineAdapter.learn`."""
        with self.learning():
            output = self._model(batch)
            loss = entropy(output.logit).mean()
            gradients = self.slopes(loss)
        amount = float(loss.detach())
        if not finite(amount, gradients):
            return Learnt(output, reason=NOT_FINITE)
        self._optimiser.step(gradients)
        return Learnt(output, amount, rows=range(len(batch)))
