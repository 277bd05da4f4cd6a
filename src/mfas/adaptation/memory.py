"""Two class queues of lower maps: what the adapter remembers of a site. No pixels are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mfas.core import MODALITIES, Label, Modality

_CLASSES = (Label.BONA_FIDE, Label.ATTACK)


class ClassQueue:
    """First in, first out, at most ``capacity`` captures of one class; maps are kept as float16."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.maps: dict[Modality, list[Tensor | None]] = {m: [] for m in MODALITIES}
        self.present: list[Tensor] = []
        self.owners: list[tuple[str, str]] = []
        self.reliability: list[float] = []

    def __len__(self) -> int:
        return len(self.owners)

    def push(
        self, maps: Mapping[Modality, Tensor], present: Tensor, owner: tuple[str, str], reliability: float
    ) -> None:
        """Add one capture (``maps[m]`` ``[C, h, w]``), the oldest leaving when full."""
        for column, modality in enumerate(MODALITIES):
            seen = bool(present[column])
            self.maps[modality].append(maps[modality].half().clone() if seen else None)
        self.present.append(present.clone())
        self.owners.append(owner)
        self.reliability.append(reliability)
        if len(self) > self.capacity:
            self._drop(0)

    def _drop(self, index: int) -> None:
        for column in self.maps.values():
            del column[index]
        del self.present[index]
        del self.owners[index]
        del self.reliability[index]


class Memory:
    """A queue per class with quotas per presentation and per subject."""

    def __init__(self, capacity: int, per_presentation: int, per_subject: int) -> None:
        self.per_presentation = per_presentation
        self.per_subject = per_subject
        self.queues = {label: ClassQueue(capacity) for label in _CLASSES}

    def counts(self) -> dict[Label, int]:
        """Captures held per class."""
        return {label: len(queue) for label, queue in self.queues.items()}

    def offer(
        self,
        label: Label,
        maps: Mapping[Modality, Tensor],
        present: Tensor,
        presentation: str,
        subject: str,
        reliability: float = 1.0,
    ) -> bool:
        """Push unless a quota of this class is used up; says whether it was taken. Empty subjects have no quota.

        ``reliability`` in [0, 1] is that of the label.
        """
        queue = self.queues[label]
        owners = queue.owners
        if sum(p == presentation for p, _ in owners) >= self.per_presentation:
            return False
        if subject and sum(s == subject for _, s in owners) >= self.per_subject:
            return False
        queue.push(maps, present, (presentation, subject), reliability)
        return True

    def draw(self, per_class: int, generator: torch.Generator) -> tuple[dict[Modality, Tensor], Tensor, Tensor, Tensor]:
        """A class-balanced sample: maps per modality, present ``[N, 3]``, target float ``[N]`` (1 = bona fide).

        Last the reliability of each target, float ``[N]``.
        """
        picked: list[tuple[ClassQueue, int]] = []
        target: list[float] = []
        for label, queue in self.queues.items():
            order = torch.randperm(len(queue), generator=generator)[:per_class]
            picked += [(queue, int(i)) for i in order]
            target += [float(label is Label.BONA_FIDE)] * len(order)
        maps: dict[Modality, Tensor] = {}
        for modality in MODALITIES:
            rows = [queue.maps[modality][i] for queue, i in picked]
            known = next((row for row in rows if row is not None), None)
            if known is not None:
                blank = torch.zeros_like(known)
                maps[modality] = torch.stack([blank if row is None else row for row in rows]).float()
        present = torch.stack([queue.present[i] for queue, i in picked])
        return maps, present, torch.tensor(target), torch.tensor([queue.reliability[i] for queue, i in picked])

    def clear(self) -> None:
        """Forget everything."""
        self.queues = {label: ClassQueue(queue.capacity) for label, queue in self.queues.items()}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON-safe facts that `load` restores exactly."""
        tensors: dict[str, Tensor] = {}
        facts: dict[str, Any] = {}
        for label, queue in self.queues.items():
            facts[label.value] = [list(owner) for owner in queue.owners]
            if len(queue):
                tensors[f"memory.{label.value}.present"] = torch.stack(queue.present)
                tensors[f"memory.{label.value}.reliability"] = torch.tensor(queue.reliability)
            for modality, rows in queue.maps.items():
                kept = [row for row in rows if row is not None]
                if kept:
                    tensors[f"memory.{label.value}.{modality.value}"] = torch.stack(kept)
        return tensors, json.loads(json.dumps(facts))

    def load(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Restore what `state` gave."""
        self.clear()
        for label, queue in self.queues.items():
            owners = facts[label.value]
            present = tensors.get(f"memory.{label.value}.present")
            # states from before there were soft labels have none
            reliability = tensors.get(f"memory.{label.value}.reliability", torch.ones(len(owners))).tolist()
            kept = {m: iter(tensors.get(f"memory.{label.value}.{m.value}", torch.empty(0))) for m in MODALITIES}
            for index, (presentation, subject) in enumerate(owners):
                assert present is not None
                row = present[index]
                maps = {m: next(kept[m]) for column, m in enumerate(MODALITIES) if bool(row[column])}
                queue.push(maps, row, (presentation, subject), reliability[index])
