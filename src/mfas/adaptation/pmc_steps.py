"""The three steps of a pass of PMC: source and target together, each modality for itself, all of them together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from mfas.adaptation.pmc_descent import Descent
from mfas.adaptation.pmc_terms import DomainHead, most_certain, reversal_strength, weighted_loss
from mfas.adaptation.pool import MapPool, shuffled
from mfas.adaptation.surface import contiguous_norms
from mfas.core import MODALITIES
from mfas.models.contract import FasModel, Maps, ModelOutput
from mfas.models.trunks import head_loss

if TYPE_CHECKING:
    from mfas.adaptation.pmc import PmcSettings

COLUMNS: tuple[str, ...] = (*(m.value for m in MODALITIES), "fused")
"""What says a class of a capture: the heads in canonical order, then the fused prediction."""
_FUSED = len(MODALITIES)

Fill = Callable[[MapPool, Tensor], tuple[Maps, Tensor, Tensor]]
"""Maps and presence after, and presence before what is missing was generated, for captures at an index."""


@dataclass(frozen=True, slots=True)
class Known:
    """Lower maps of the source and its classes, bool ``[S]``, true = bona fide."""

    maps: MapPool
    genuine: Tensor


class Cooperation:
    """The steps over one target and one source; everything random comes from ``seed``."""

    def __init__(
        self,
        model: FasModel,
        target: MapPool,
        known: Known,
        domains: Sequence[DomainHead],
        fill: Fill,
        descent: Descent,
        own: PmcSettings,
        seed: int,
    ) -> None:
        self._model, self._target, self._known = model, target, known
        self._domains, self._fill, self._descent, self._own = domains, fill, descent, own
        self._generator = torch.Generator().manual_seed(seed)
        self._labelled = self._endless()

    def meet(self, number: int) -> tuple[Tensor, list[float]]:
        """Pass ``number`` over the target beside labelled batches: source classes, domains told apart in reverse.

        Returns the target's logits ``[N, 4]`` by `COLUMNS`, as they were on the way, and the accuracy on the source.
        """
        own = self._own
        logits = torch.zeros(len(self._target), len(COLUMNS))
        right, counted = torch.zeros(len(COLUMNS)), torch.zeros(len(COLUMNS))
        order = list(shuffled(len(self._target), own.batch_size, self._generator))
        for place, index in enumerate(order):
            progress = (number + place / len(order)) / own.passes
            known = next(self._labelled)
            maps, present = self._known.maps.take(known)
            genuine = self._known.genuine[known]
            filled, shown, observed = self._fill(self._target, index)
            with self._descent.differentiable(), contiguous_norms(self._model):
                ours, theirs = self._model.upper(maps, present), self._model.upper(filled, shown)
                goal = genuine.to(ours.logit.dtype)
                loss = bce(ours.logit, goal) + head_loss(ours.modality_logits, present, goal)
                for column, m in enumerate(MODALITIES):
                    pair = ours.features[m][present[:, column]], theirs.features[m][observed[:, column]]
                    loss = loss + own.domain_weight * self._domains[column].loss(*pair, reversal_strength(progress))
                self._descent.step(loss, progress)
            logits[index] = _columns(theirs)
            valid = torch.cat([present, torch.ones(len(known), 1, dtype=torch.bool)], dim=1)
            right += (((_columns(ours) >= 0) == genuine[:, None]) & valid).sum(dim=0)
            counted += valid.sum(dim=0)
        return logits, (right / counted.clamp_min(1)).tolist()

    def teach(self, logits: Tensor, shares: Sequence[float], progress: float) -> None:
        """Each head learns from what it is surest of, then all from what the fused prediction is surest of.

        ``logits`` ``[N, 4]`` and ``shares`` in [0, 1] by `COLUMNS`, of this very pass.
        """
        for column, share in enumerate(shares):
            everyone = torch.ones(len(logits), dtype=torch.bool)
            candidates = everyone if column == _FUSED else self._target.present[:, column]
            chosen = most_certain(logits[:, column], candidates, share)
            for some in shuffled(len(chosen), self._own.batch_size, self._generator):
                index = chosen[some]
                said = logits[index, column]
                goal, confidence = (said >= 0).to(said.dtype), torch.sigmoid(said.abs())
                with self._descent.differentiable(), contiguous_norms(self._model):
                    loss = (
                        self._all(index, goal, confidence)
                        if column == _FUSED
                        else self._one(column, index, goal, confidence)
                    )
                    self._descent.step(loss, progress)

    def _one(self, column: int, index: Tensor, goal: Tensor, confidence: Tensor) -> Tensor:
        m, alone = MODALITIES[column], torch.zeros(len(index), _FUSED, dtype=torch.bool)
        alone[:, column] = True
        output = self._model.upper({m: self._target.take(index)[0][m]}, alone)
        return weighted_loss(output.modality_logits[:, column], goal, confidence)

    def _all(self, index: Tensor, goal: Tensor, confidence: Tensor) -> Tensor:
        maps, shown, _ = self._fill(self._target, index)
        output = self._model.upper(maps, shown)
        loss = weighted_loss(output.logit, goal, confidence)
        for column in range(_FUSED):
            rows = shown[:, column]
            if bool(rows.any()):
                loss = loss + weighted_loss(output.modality_logits[rows, column], goal[rows], confidence[rows])
        return loss

    def _endless(self) -> Iterator[Tensor]:
        while True:
            yield from shuffled(len(self._known.genuine), self._own.batch_size, self._generator)


def _columns(output: ModelOutput) -> Tensor:
    return torch.cat([output.modality_logits, output.logit[:, None]], dim=1).detach()
