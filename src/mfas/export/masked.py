"""A model as one graph without branches: every encoder runs on every row, absent rows are masked out.

The models select rows instead, which is quicker, but which rows there are is known at run time only, and a graph has
one course. The result is the same: no row of a model depends on another.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn

from mfas.core import MODALITIES, Batch, CaptureIds, Modality
from mfas.errors import InputError
from mfas.export.predictor import FAMILIES, OUTPUTS, RESIDUALS
from mfas.models.contract import FasModel, Maps
from mfas.models.families import FamilyHeads, family_prediction
from mfas.models.trunks import ModalityTrunks
from mfas.models.vit_trunks import VitTrunks


class MaskedTrunks(ModalityTrunks):
    """The same encoders and heads, run on all rows."""

    def __init__(self, trunks: ModalityTrunks) -> None:
        nn.Module.__init__(self)
        self.encoders, self.heads = trunks.encoders, trunks.heads
        self.feature_dim, self.lower_channels = trunks.feature_dim, trunks.lower_channels

    def lower(self, batch: Batch) -> dict[Modality, Tensor]:
        """See `ModalityTrunks.lower`; what came of absent images is replaced by zeros."""
        out: dict[Modality, Tensor] = {}
        for column, modality in enumerate(MODALITIES):
            rows = batch.present[:, column]
            out[modality] = _kept(self.encoder(modality).lower(batch.images[modality]), rows)
        return out

    def features(self, maps: Maps, present: Tensor) -> dict[Modality, Tensor]:
        """See `ModalityTrunks.features`."""
        return {m: _kept(self.encoder(m).upper(maps[m]), present[:, i]) for i, m in enumerate(MODALITIES)}

    def tokens(self, maps: Maps, present: Tensor) -> dict[Modality, Tensor]:
        """See `ModalityTrunks.tokens`."""
        return {m: _kept(self.encoder(m).tokens(maps[m]), present[:, i]) for i, m in enumerate(MODALITIES)}


class MaskedVitTrunks(VitTrunks):
    """The same shared transformer and heads, run on all rows of all modalities."""

    def __init__(self, trunks: VitTrunks) -> None:
        nn.Module.__init__(self)
        self.vit, self.heads = trunks.vit, trunks.heads
        self.depth, self.grid, self.feature_dim = trunks.depth, trunks.grid, trunks.feature_dim

    def lower(self, batch: Batch) -> dict[Modality, Tensor]:
        """See `VitTrunks.lower`; what came of absent images is replaced by zeros."""
        out: dict[Modality, Tensor] = {}
        for column, modality in enumerate(MODALITIES):
            rows = batch.present[:, column]
            out[modality] = _kept(self.read(batch.images[modality], modality), rows)
        return out


class MaskedModel(nn.Module):
    """``(rgb, depth, ir, present)`` to the tensors named by ``outputs``; model and heads given are left as they were.

    Images float32 ``[B, C, S, S]``, anything where absent; ``present`` bool ``[B, 3]``. Raises `InputError` for a model
    that is built on neither `ModalityTrunks` nor `VitTrunks`.
    """

    def __init__(self, model: FasModel, heads: FamilyHeads | None = None) -> None:
        super().__init__()
        self.outputs = (*OUTPUTS, RESIDUALS, *(() if heads is None else (FAMILIES,)))
        if model.onnx_reason:
            raise InputError(f"expected a model that has an ONNX graph, got {model.name}: {model.onnx_reason}")
        trunks = getattr(model, "trunks", None)
        if not isinstance(trunks, ModalityTrunks | VitTrunks):
            raise InputError(f"expected a model with one encoder per modality to export, got {type(model).__name__}")
        own = deepcopy(model).cpu().eval()
        kind = MaskedTrunks if isinstance(trunks, ModalityTrunks) else MaskedVitTrunks
        own.trunks = kind(own.trunks)  # type: ignore[arg-type]
        self.model = own
        self.families = None if heads is None else deepcopy(heads).cpu().eval()

    def forward(self, rgb: Tensor, depth: Tensor, ir: Tensor, present: Tensor) -> tuple[Tensor, ...]:
        """One pass."""
        images: Mapping[Modality, Tensor] = dict(zip(MODALITIES, (rgb, depth, ir), strict=True))
        batch = Batch(images, present, CaptureIds((), (), (), (), ()))
        prediction = family_prediction(self.model.upper(self.model.lower(batch), present), self.families)
        found = {name: getattr(prediction, name) for name in OUTPUTS} | dict(prediction.extras)
        return tuple(found[name] for name in self.outputs)


def _kept(x: Tensor, rows: Tensor) -> Tensor:
    return torch.where(rows.view(-1, *[1] * (x.dim() - 1)), x, torch.zeros_like(x))
