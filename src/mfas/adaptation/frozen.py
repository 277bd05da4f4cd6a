"""The source model beside the live one, sharing every tensor that cannot move."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mfas.models.contract import FasModel, Maps, ModelOutput


class _Upper(nn.Module):
    def __init__(self, model: FasModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, maps: Maps, present: Tensor) -> ModelOutput:
        return self.model.upper(maps, present)


class FrozenUpper:
    """Runs the upper part with source values in place of the adapted ones; no copy of the model."""

    def __init__(self, model: FasModel, source: Mapping[str, Tensor]) -> None:
        self._upper = _Upper(model)
        self._values = {f"model.{name}": tensor for name, tensor in source.items()}

    @torch.no_grad()
    def __call__(self, maps: Maps, present: Tensor) -> ModelOutput:
        """See `FasModel.upper`."""
        out: ModelOutput = functional_call(self._upper, self._values, (maps, present))
        return out
