"""What the entropy methods share: norms move; BatchNorm, where a model has it, normalises by the batch in hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from mfas.adaptation.batch_norm import batch_norms, batch_statistics
from mfas.adaptation.online import OnlineAdapter
from mfas.adaptation.surface import contiguous_norms, norm_names, parameter_names
from mfas.card import Card
from mfas.models.contract import FasModel

UNRELIABLE = "no capture under the entropy limit"
"""Why a method that filters by entropy made no update."""


class NormMethod(OnlineAdapter):
    """Base of TENT and its kin.

    On a model with BatchNorm a score depends on the batch, as published, and ``batch_independent`` is False on that
    instance; elsewhere there are no batch statistics and it is True.
    """

    def __init__(self, model: FasModel, card: Card, settings: Any, seed: int) -> None:
        super().__init__(model, card, settings, seed)
        self.batch_independent = self.starts_as_source = not batch_norms(model)

    def surface_of(self, model: FasModel) -> frozenset[str]:
        """Scale and shift of the BatchNorm layers, as published; of all normalisation layers where there are none."""
        return parameter_names(model, batch_norms(model)) or norm_names(model)

    def answering(self) -> AbstractContextManager[None]:
        """See `OnlineAdapter.answering`."""
        return nullcontext() if self.batch_independent else batch_statistics(self._model)

    @contextmanager
    def learning(self) -> Iterator[None]:
        """Inside, the surface asks for gradients."""
        with self._live.differentiable(), contiguous_norms(self._model):
            yield

    def slopes(self, loss: Tensor, *, keep_graph: bool = False) -> tuple[Tensor | None, ...]:
        """Gradient of ``loss`` by the live tensors; None where it does not depend on one."""
        values = list(self._live.values.values())
        return torch.autograd.grad(loss, values, allow_unused=True, retain_graph=keep_graph)
