"""Banks of lower maps per modality and class, first in, first out. No pixels are kept."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mfas.core import MODALITIES, Label, Modality


class MapBanks:
    """At most ``capacity`` maps ``[C, h, w]`` for each pair of modality and class, as float16."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._held: dict[tuple[Modality, Label], Tensor] = {}

    def push(self, modality: Modality, label: Label, maps: Tensor) -> None:
        """Add ``maps`` ``[B, C, h, w]``, B at least 1, in their order; the oldest leave."""
        held = self._held.get((modality, label))
        new = maps.detach().half()
        self._held[modality, label] = (new if held is None else torch.cat([held, new]))[-self.capacity :].clone()

    def held(self, modality: Modality, label: Label) -> Tensor | None:
        """What is held as float32 ``[N, C, h, w]``; None where nothing is."""
        held = self._held.get((modality, label))
        return None if held is None else held.float()

    def counts(self) -> dict[str, int]:
        """Captures by ``MODALITY.CLASS``."""
        return {f"{modality}.{label}": len(held) for (modality, label), held in self._held.items()}

    def clear(self) -> None:
        """Forget everything."""
        self._held = {}

    def state(self) -> dict[str, Tensor]:
        """Copies as ``bank.MODALITY.CLASS``."""
        return {f"bank.{m}.{label}": held.clone() for (m, label), held in self._held.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take what `state` gave."""
        places = {(m, label): f"bank.{m}.{label}" for m in MODALITIES for label in Label}
        self._held = {place: tensors[name].clone() for place, name in places.items() if name in tensors}
