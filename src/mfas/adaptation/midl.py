"""MiDl (Ramazanova et al., ICLR 2025, arXiv 2404.15161): scores should not depend on which modalities are there.

Mutual information of prediction and modality falls, self-distillation holds the model to its source; what differs with
three modalities and incomplete captures: `docs/methods/midl.md`.
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from mfas.adaptation.frozen import FrozenUpper
from mfas.adaptation.live import NOT_FINITE, finite
from mfas.adaptation.online import Learnt, OnlineAdapter
from mfas.adaptation.registry import register
from mfas.adaptation.surface import contiguous_norms
from mfas.adaptation.tent import entropy
from mfas.adaptation.two_class import divergence, mixture_entropy
from mfas.card import Card
from mfas.config import Config
from mfas.core import MODALITIES, Batch
from mfas.models.contract import FasModel

_PATTERNS = torch.tensor([[p >> k & 1 for k in range(3)] for p in range(1, 7)], dtype=torch.bool)
_PLACES = {modality: column for column, modality in enumerate(MODALITIES)}


class MidlSettings(Config):
    """Rate and weights of the published configuration; ``patterns`` 2 is every pattern of two modalities."""

    learning_rate: float = Field(2.5e-4, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1, description="Adam's beta1")
    mutual: float = Field(0.5, ge=0, description="weight of the mutual information")
    distil: float = Field(0.5, ge=0, description="weight of the divergence from the source model")
    patterns: int = Field(2, ge=1, le=6, description="smaller patterns drawn per capture, beside what it shows")


def mutual_information(logits: Tensor, valid: Tensor) -> Tensor:
    r"""$H(\sum_s w_s p_s) - \sum_s w_s H(p_s)$ in nats, ``[B]``, of scores under S patterns.

    ``logits`` ``[S, B]``; ``valid`` bool ``[S, B]``, at least one true per column: $w_s$ is even over those.

    >>> mutual_information(torch.tensor([[40.0], [-40.0]]), torch.ones(2, 1, dtype=torch.bool)).tolist()
    [0.6931471824645996]
    """
    weights = valid.to(logits.dtype) / valid.sum(dim=0)
    return mixture_entropy(logits, weights.log()) - (weights * entropy(logits)).sum(dim=0)


def smaller_patterns(present: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Up to ``count`` different patterns per row that keep some, not all, of what ``present`` bool ``[B, 3]`` shows.

    Returns patterns bool ``[count, B, 3]`` and which of them there are, bool ``[count, B]``.
    """
    table = _PATTERNS.to(present.device)
    within = (table[None] & ~present[:, None]).sum(dim=2) == 0
    proper = within & (table[None] != present[:, None]).any(dim=2)
    draw = torch.rand(proper.shape, generator=generator).to(present.device).masked_fill(~proper, -1.0)
    top = draw.topk(count, dim=1)
    return table[top.indices].transpose(0, 1), (top.values >= 0).T


@register("midl")
class Midl(OnlineAdapter):
    """One step per batch, taught by the captures with at least two observed modalities; all norms move."""

    Settings = MidlSettings
    settings: MidlSettings

    def __init__(self, model: FasModel, card: Card, settings: Any, seed: int) -> None:
        super().__init__(model, card, settings, seed)
        self._frozen = FrozenUpper(model, self._live.source)

    def learn(self, batch: Batch) -> Learnt:
        """See `OnlineAdapter.learn`."""
        rows = (batch.present.sum(dim=1) >= 2).nonzero().squeeze(1)
        if not len(rows):
            with torch.no_grad():
                return Learnt(self._model(batch), reason="no capture with two observed modalities")
        own = self.settings
        with self._live.differentiable(), contiguous_norms(self._model):
            maps = self._model.lower(batch)
            output = self._model.upper(maps, batch.present)
            logits, valid = [output.logit[rows]], [torch.ones_like(rows, dtype=torch.bool)]
            some = {m: x[rows] for m, x in maps.items()}
            for pattern, there in zip(*self._draw(batch.present[rows]), strict=True):
                seen = torch.where(there[:, None], pattern, batch.present[rows])
                kept = {m: x * seen[:, _PLACES[m]].view(-1, 1, 1, 1) for m, x in some.items()}
                logits.append(self._model.upper(kept, seen).logit)
                valid.append(there)
            mutual = mutual_information(torch.stack(logits), torch.stack(valid)).mean()
            before = self._frozen.upper(self._frozen.lower(batch), batch.present).logit[rows]
            distil = divergence(before, logits[0]).mean()
            loss = own.mutual * mutual + own.distil * distil
            gradients = torch.autograd.grad(loss, list(self._live.values.values()), allow_unused=True)
        amount = float(loss.detach())
        if not finite(amount, gradients):
            return Learnt(output, reason=NOT_FINITE)
        self._optimiser.step(gradients)
        signals = {"mutual_information": float(mutual.detach()), "source_divergence": float(distil.detach())}
        return Learnt(output, amount, rows=rows.tolist(), signals=signals)

    def _draw(self, present: Tensor) -> tuple[Tensor, Tensor]:
        """From a generator of seed and step, so that a resumed run draws what an unbroken one would."""
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + self._step)
        return smaller_patterns(present, self.settings.patterns, generator)
