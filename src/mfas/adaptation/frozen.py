"""The source model beside the live one, sharing every tensor that cannot move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mfas.core import Batch, Modality
from mfas.models.contract import FasModel, Maps, ModelOutput


class _Part(nn.Module):
    """One method of a model as a module of its own, which is what `functional_call` takes."""

    def __init__(self, model: FasModel, method: str) -> None:
        super().__init__()
        self.model = model
        self.method = method

    def forward(self, *args: Any) -> Any:
        return getattr(self.model, self.method)(*args)


class FrozenUpper:
    """Runs the parts of a model with source values in place of the adapted ones; no copy of the model."""

    def __init__(self, model: FasModel, source: Mapping[str, Tensor]) -> None:
        self._parts = {method: _Part(model, method) for method in ("lower", "upper", "heads")}
        self._values = {f"model.{name}": tensor for name, tensor in source.items()}

    def __call__(self, maps: Maps, present: Tensor) -> ModelOutput:
        """See `FasModel.upper`."""
        return self.upper(maps, present)

    def lower(self, batch: Batch) -> Maps:
        """See `FasModel.lower`."""
        out: Maps = self._call("lower", batch)
        return out

    def upper(self, maps: Maps, present: Tensor) -> ModelOutput:
        """See `FasModel.upper`."""
        out: ModelOutput = self._call("upper", maps, present)
        return out

    def heads(self, features: Mapping[Modality, Tensor], present: Tensor) -> Tensor:
        """See `FasModel.heads`."""
        out: Tensor = self._call("heads", features, present)
        return out

    @torch.no_grad()
    def _call(self, method: str, *args: Any) -> Any:
        return functional_call(self._parts[method], self._values, args)
