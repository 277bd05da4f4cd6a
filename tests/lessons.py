"""Batches of the toy classes as the training loop takes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from mfas.training.loop import Labelled
from toys import batch, target_of


class ToyEpochs:
    """Three batches of eight an epoch, some captures incomplete; brightness is drawn from a generator of its own.

    ``spoilt``: epoch and step of a batch whose truth is not a number.
    """

    steps = 3

    def __init__(self, spoilt: tuple[int, int] | None = None) -> None:
        self._generator = torch.Generator().manual_seed(3)
        self._spoilt = spoilt

    def __call__(self, epoch: int) -> Iterator[Labelled]:
        for step in range(self.steps):
            present = torch.ones(8, 3, dtype=torch.bool)
            present[0, 1] = present[3, 0] = False
            some = batch(8, seed=10 * epoch + step, present=present, first=100 * epoch + 10 * step)
            light = 1 + 0.1 * float(torch.rand(1, generator=self._generator))
            some = replace(some, images={m: x * light for m, x in some.images.items()})
            target = target_of(8)
            yield Labelled(some, target * float("nan") if (epoch, step) == self._spoilt else target)

    def random_state(self) -> Tensor:
        return self._generator.get_state()

    def set_random_state(self, state: Tensor) -> None:
        self._generator.set_state(state)
