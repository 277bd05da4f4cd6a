"""A model under attack, and what an attacker who has it in hand can compute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from mfas.adaptation.gate import Gate, GateSettings
from mfas.adaptation.surface import contiguous_norms
from mfas.card import Card
from mfas.core import MODALITIES, Batch, Modality, format_modalities
from mfas.models.contract import FasModel, Maps, ModelOutput


@dataclass(frozen=True, slots=True)
class Victim:
    """A model in eval mode, its card (thresholds, preprocessing, gate), and the name it has in tables.

    ``still`` holds lower maps of modalities that do not change, see `holding`.
    """

    name: str
    model: FasModel
    card: Card
    still: Maps = field(default_factory=dict)

    def output(self, batch: Batch) -> ModelOutput:
        """Both parts in turn, with gradient."""
        moving = without(batch, self.still)
        return self.model.upper({**self.model.lower(moving), **self.still}, batch.present)

    @torch.no_grad()
    def holding(self, batch: Batch, moving: Iterable[Modality]) -> Victim:
        """The same victim for images of ``batch`` of which only those of ``moving`` will change: the rest is run once.

        A model whose lower part lets modalities meet is returned as it is.
        """
        changing = set(moving)
        resting = [m for m in batch.images if m not in changing]
        whole, alone = self.model.lower(batch), self.model.lower(without(batch, resting))
        if any(m not in alone or not torch.allclose(alone[m], whole[m]) for m in changing if m in whole):
            return self
        return replace(self, still={m: whole[m] for m in resting if m in whole})

    def gate(self) -> Gate:
        """The evidence gate that a learning site would put before this model."""
        return Gate(GateSettings(), self.card)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Inside, the model gives slopes of its images and keeps its own parameters out of them."""
        asked = [parameter.requires_grad for parameter in self.model.parameters()]
        self.model.requires_grad_(False)
        try:
            with contiguous_norms(self.model):
                yield
        finally:
            for parameter, before in zip(self.model.parameters(), asked, strict=True):
                parameter.requires_grad_(before)


def accepted(victim: Victim, batch: Batch, missing: str) -> Tensor:
    """Bool ``[B]``: scored at least the card's threshold for the imposed pattern ``missing``."""
    return victim.model.predict(batch).score >= victim.card.threshold(missing)


@torch.no_grad()
def decide(victim: Victim, batch: Batch, missing: str) -> tuple[Tensor, Tensor]:
    """`accepted` and `labelled_live` from one look at the batch."""
    output = victim.output(batch)
    verdict = victim.gate().judge(output, victim.model, batch)
    return torch.sigmoid(output.logit) >= victim.card.threshold(missing), verdict.accept & verdict.bona_fide


@torch.no_grad()
def labelled_live(victim: Victim, batch: Batch) -> Tensor:
    """Bool ``[B]``: the evidence gate would take the capture for a living face, and teach the model so."""
    verdict = victim.gate().judge(victim.output(batch), victim.model, batch)
    return verdict.accept & verdict.bona_fide


@torch.no_grad()
def prototypes(victim: Victim, batches: Iterable[Batch]) -> dict[Modality, Tensor]:
    """Mean feature ``[D]`` of the observed captures of each modality; bona fide ones make the live prototype."""
    total: dict[Modality, Tensor] = {}
    count: dict[Modality, int] = {}
    for batch in batches:
        features = victim.output(batch).features
        for column, modality in enumerate(MODALITIES):
            rows = batch.present[:, column]
            if modality in features and bool(rows.any()):
                own = features[modality][rows]
                total[modality] = total.get(modality, torch.zeros_like(own[0])) + own.sum(dim=0)
                count[modality] = count.get(modality, 0) + len(own)
    return {m: total[m] / count[m] for m in total}


def chunks(count: int, size: int) -> list[Tensor]:
    """Places 0 to ``count`` - 1 in order, at most ``size`` at a time, as indices for `Batch.select`."""
    return [torch.arange(start, min(start + size, count)) for start in range(0, count, size)]


def without(batch: Batch, modalities: Iterable[Modality]) -> Batch:
    """The batch with nothing of ``modalities``; rows may be left with nothing."""
    gone = set(modalities)
    if not gone:
        return batch
    return replace(batch, images={m: x for m, x in batch.images.items() if m not in gone}).impose(gone)


def missing_of(present: Tensor) -> str:
    """The imposed pattern that a row of ``present`` (bool ``[3]``) amounts to."""
    return format_modalities(m for m, seen in zip(MODALITIES, present.tolist(), strict=True) if not seen)


def absent(batch: Batch, modalities: Iterable[Modality]) -> bool:
    """Whether no capture of the batch has any of ``modalities``."""
    return not any(bool(batch.present[:, MODALITIES.index(m)].any()) for m in modalities)


Prototypes = Mapping[Modality, Tensor]
