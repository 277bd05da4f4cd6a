"""RoTTA's memory: category-balanced sampling with timeliness and uncertainty (CSTU; Yuan et al., CVPR 2023, 3.2).

It keeps **pixels** of captures, since they are augmented anew at every update.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp
from typing import Any

import torch
from torch import Tensor

from mfas.core import MODALITIES, Batch, CaptureIds, Label, Modality


@dataclass(slots=True)
class Kept:
    """One capture: float16 ``images[m]`` ``[C, S, S]`` of what it has; ``age`` in captures seen since it came.

    ``uncertainty`` in [0, 1] is the entropy over ln 2 that its pseudo label ``label`` had then.
    """

    images: dict[Modality, Tensor]
    label: Label
    uncertainty: float
    age: int = 0


class Cstu:
    """At most half of ``capacity`` (an even number) per class; what is old or uncertain goes first."""

    def __init__(self, capacity: int, weight_age: float, weight_uncertainty: float) -> None:
        self.capacity = capacity
        self.weight_age = weight_age
        self.weight_uncertainty = weight_uncertainty
        self.items: list[Kept] = []

    def badness(self, item: Kept) -> float:
        r"""$\lambda_t / (1 + e^{-a / N}) + \lambda_u u$ for age $a$, capacity $N$, uncertainty $u$; high goes first."""
        return self.weight_age / (1 + exp(-item.age / self.capacity)) + self.weight_uncertainty * item.uncertainty

    def offer(self, images: Mapping[Modality, Tensor], label: Label, uncertainty: float) -> bool:
        """Take a capture in if its class has room or a worse one to give up; all that is held grows older by one.

        With a quota of half the capacity for two classes, a class under its quota always finds room.
        """
        new = Kept({m: x.half().clone() for m, x in images.items()}, label, uncertainty)
        rivals = [index for index, item in enumerate(self.items) if item.label is label]
        taken = True
        if 2 * len(rivals) >= self.capacity:
            worst = max(rivals, key=lambda index: (self.badness(self.items[index]), index))
            taken = self.badness(self.items[worst]) > self.badness(new)
            if taken:
                del self.items[worst]
        if taken:
            self.items.append(new)
        for item in self.items:
            item.age += 1
        return taken

    def counts(self) -> dict[Label, int]:
        """Captures held per class."""
        return {label: sum(item.label is label for item in self.items) for label in Label}

    def batch(self) -> tuple[Batch, Tensor]:
        """All that is held as a batch of nameless captures, and their ages over the capacity, float ``[N]``."""
        present = torch.tensor([[m in item.images for m in MODALITIES] for item in self.items])
        images: dict[Modality, Tensor] = {}
        for modality in MODALITIES:
            rows = [item.images.get(modality) for item in self.items]
            known = next((row for row in rows if row is not None), None)
            if known is not None:
                blank = torch.zeros_like(known)
                images[modality] = torch.stack([blank if row is None else row for row in rows]).float()
        ages = torch.tensor([item.age / self.capacity for item in self.items])
        return Batch(images, present, CaptureIds.anonymous(len(self.items))), ages

    def clear(self) -> None:
        """Forget everything."""
        self.items = []

    def state(self) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
        """Pixels by place and modality, and one JSON-safe entry per capture, for `load`."""
        tensors = {
            f"memory.{index}.{modality.value}": image.clone()
            for index, item in enumerate(self.items)
            for modality, image in item.images.items()
        }
        entries = [{"label": i.label.value, "uncertainty": i.uncertainty, "age": i.age} for i in self.items]
        return tensors, entries

    def load(self, tensors: Mapping[str, Tensor], entries: list[dict[str, Any]]) -> None:
        """Restore what `state` gave."""
        self.items = []
        for index, entry in enumerate(entries):
            names = {m: f"memory.{index}.{m.value}" for m in MODALITIES}
            images = {m: tensors[name].clone() for m, name in names.items() if name in tensors}
            self.items.append(Kept(images, Label(entry["label"]), float(entry["uncertainty"]), int(entry["age"])))
