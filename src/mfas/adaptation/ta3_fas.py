"""3A-TTA (Huang et al., BMVC 2023): labels from activation maps, banks of lower maps, an asymmetric contrast.

Made for one modality; here each modality runs its own, and the score is the mean of the heads. What differs from the
paper and from its code: `docs/methods/ta3_fas.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from mfas.adaptation.activation import as_grid, attention_difference, last_map
from mfas.adaptation.contrast import asymmetric_contrast
from mfas.adaptation.live import NOT_FINITE, finite
from mfas.adaptation.map_banks import MapBanks
from mfas.adaptation.online import Learnt, OnlineAdapter
from mfas.adaptation.registry import register
from mfas.adaptation.surface import classifier_names, contiguous_norms, surface_names
from mfas.card import Card
from mfas.config import Config
from mfas.core import MODALITIES, Batch, Label, Modality, Prediction
from mfas.models.contract import FasModel, ModelOutput, to_prediction


class Ta3FasSettings(Config):
    """As in the released code; nothing is tuned here.

    ``fusion`` says what answers: the ``mean`` of the observed heads, or the ``model`` with its own fused head, which is
    what a state deployed on the model answers with.
    """

    learning_rate: float = Field(1e-4, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1, description="Adam's beta1")
    min_score: float = Field(0.8, ge=0.5, lt=1, description="of the class a capture enters a bank for")
    min_difference: float = Field(0.2, ge=0, lt=1)
    capacity: int = Field(60, ge=2, description="captures per modality and class")
    neighbours: int = Field(5, ge=1)
    weight_contrast: float = Field(3.0, ge=0)
    weight_label: float = Field(2.0, ge=0)
    weight_bank: float = Field(1.0, ge=0)
    wait_for_both: bool = True
    fusion: Literal["mean", "model"] = "mean"


def mean_of_heads(output: ModelOutput) -> ModelOutput:
    """The same output with the mean of the observed heads' logits as its answer."""
    return replace(output, logit=output.modality_logits.sum(dim=1) / output.present.sum(dim=1))


@dataclass(frozen=True, slots=True)
class _Look:
    """What one modality says of the captures that have it: ``features`` ``[B', D]``, ``logit``, ``difference``."""

    features: Tensor
    logit: Tensor
    difference: Tensor

    @property
    def bona_fide(self) -> Tensor:
        """The activation-based pseudo label, bool ``[B']``."""
        return self.difference >= 0


@register("ta3_fas")
class Ta3Fas(OnlineAdapter):
    """The last stage and the head of each modality move, one step per batch; the banks hold lower maps, no pixels."""

    Settings = Ta3FasSettings

    def __init__(self, model: FasModel, card: Card, settings: Ta3FasSettings, seed: int) -> None:
        super().__init__(model, card, settings, seed)
        self.starts_as_source = settings.fusion == "model"
        self._banks = MapBanks(settings.capacity)

    def surface_of(self, model: FasModel) -> frozenset[str]:
        """Upper modules and heads."""
        return surface_names(model, "upper") | classifier_names(model, "modality_logits")

    @torch.no_grad()
    def predict(self, batch: Batch) -> Prediction:
        """See `Adapter.predict`."""
        return to_prediction(self._answer(self._model(batch)))

    def learn(self, batch: Batch) -> Learnt:
        """See `OnlineAdapter.learn`."""
        with torch.no_grad():
            maps = self._model.lower(batch)
            answer = self._answer(self._model.upper(maps, batch.present))
        votes: dict[int, set[Label]] = {}
        losses: list[Tensor] = []
        queued = 0
        with self._live.differentiable(), contiguous_norms(self._model):
            for column, modality in enumerate(MODALITIES):
                rows = batch.present[:, column].nonzero().flatten()
                if not len(rows):
                    continue
                mine = maps[modality][rows].contiguous()
                look = self._look(modality, mine)
                for label, chosen in self._reliable(look).items():
                    if not bool(chosen.any()):
                        continue
                    self._banks.push(modality, label, mine[chosen])
                    queued += int(chosen.sum())
                    for row in rows[chosen].tolist():
                        votes.setdefault(row, set()).add(label)
                losses += self._loss(modality, look)
            if losses:
                total = torch.stack(losses).sum()
                gradients = torch.autograd.grad(total, list(self._live.values.values()), allow_unused=True)
        agreed = {row: next(iter(labels)) for row, labels in sorted(votes.items()) if len(labels) == 1}
        signals = {f"bank.{place}": float(count) for place, count in self._banks.counts().items()}
        learnt = Learnt(answer, rows=list(agreed), labels=list(agreed.values()), queued=queued, signals=signals)
        if not losses:
            return replace(learnt, reason="a class is missing in the banks or in the batch")
        amount = float(total.detach())
        if not finite(amount, gradients):
            return replace(learnt, reason=NOT_FINITE)
        self._optimiser.step(gradients)
        return replace(learnt, loss=amount)

    def _answer(self, output: ModelOutput) -> ModelOutput:
        return mean_of_heads(output) if self.settings.fusion == "mean" else output

    def _upper(self, modality: Modality, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``[B', D]`` and logits ``[B']`` of captures that have ``modality`` alone."""
        present = torch.zeros(len(maps), len(MODALITIES), dtype=torch.bool)
        present[:, MODALITIES.index(modality)] = True
        output = self._model.upper({modality: maps}, present)
        return output.features[modality], output.modality_logits[:, MODALITIES.index(modality)]

    def _look(self, modality: Modality, maps: Tensor) -> _Look:
        below = maps.detach().requires_grad_(True)
        with last_map(self._model, modality) as found:
            features, logit = self._upper(modality, below)
        last = found[0] if found else below
        (slope,) = torch.autograd.grad(logit.sum(), last, retain_graph=True)
        return _Look(features, logit, attention_difference(as_grid(last.detach()), as_grid(slope)))

    def _reliable(self, look: _Look) -> dict[Label, Tensor]:
        """Per class, the captures (bool ``[B']``) that score and attention agree on."""
        s, score = self.settings, torch.sigmoid(look.logit.detach())
        return {
            Label.BONA_FIDE: (score > s.min_score) & (look.difference > s.min_difference),
            Label.ATTACK: (score < 1 - s.min_score) & (look.difference < -s.min_difference),
        }

    def _loss(self, modality: Modality, look: _Look) -> list[Tensor]:
        """The loss of one modality; nothing where it has to wait."""
        s, bona_fide = self.settings, look.bona_fide
        genuine, attack = (self._banks.held(modality, label) for label in (Label.BONA_FIDE, Label.ATTACK))
        both = bool(bona_fide.any()) and not bool(bona_fide.all())
        complete = both and genuine is not None and attack is not None and len(attack) > 1
        if s.wait_for_both and not complete:
            return []
        loss = s.weight_label * bce(look.logit, bona_fide.float())
        held = [bank for bank in (genuine, attack) if bank is not None]
        if held:
            features, logit = self._upper(modality, torch.cat(held))
            target = torch.zeros(len(features))
            known = 0 if genuine is None else len(genuine)
            target[:known] = 1.0
            loss = loss + s.weight_bank * bce(logit, target)
            if complete:
                contrast = asymmetric_contrast(
                    look.features, bona_fide, features[:known], features[known:], s.neighbours
                )
                loss = loss + s.weight_contrast * contrast
        return [loss]

    def extra_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """See `OnlineAdapter.extra_state`."""
        return self._banks.state(), {}

    def load_extra(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """See `OnlineAdapter.load_extra`."""
        del facts
        self._banks.load(tensors)

    def forget(self) -> None:
        """See `OnlineAdapter.forget`."""
        self._banks.clear()
