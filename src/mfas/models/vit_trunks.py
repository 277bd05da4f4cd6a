"""The shared transformer on each modality alone: where models that mix tokens start from, and who testifies.

Modalities that meet in the blocks have no feature of their own afterwards, but the evidence of adaptation needs one
witness per sensor that has seen nothing else. `VitTrunks` lets the trunk read each modality alone and puts a linear
head on what it makes of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mfas.card import Preprocess
from mfas.core import MODALITIES, Batch, Modality
from mfas.models.contract import Maps, run_on_rows
from mfas.models.vit_shared import SharedVit, VitBlock, VitOptions


class VitTrunks(nn.Module):
    """`SharedVit` and one linear head per modality; the first ``depth`` blocks are what `lower` hands on.

    A map is ``[B, D, g + 1, g]``: ``g`` rows of patch tokens, then a row with the class token after ``depth`` blocks in
    the first column and the class token of the whole, normed trunk in all others.
    """

    def __init__(self, spec: Preprocess, options: VitOptions, depth: int) -> None:
        super().__init__()
        self.vit = SharedVit(spec, options)
        self.depth = depth
        self.grid = options.image_size // options.patch
        self.feature_dim = options.dim
        self.heads = nn.ModuleDict({m.value: nn.Linear(options.dim, 1) for m in MODALITIES})

    def frozen_modules(self) -> list[nn.Module]:
        """The trunk, unless its options let it learn."""
        return [self.vit] if self.vit.options.frozen else []

    def blocks(self) -> list[VitBlock]:
        """The trunk's blocks, first to last."""
        return [block for block in self.vit.blocks if isinstance(block, VitBlock)]

    def lower(self, batch: Batch) -> dict[Modality, Tensor]:
        """Maps of the modalities that any capture of the batch has; no map depends on another modality."""
        out: dict[Modality, Tensor] = {}
        for column, modality in enumerate(MODALITIES):
            rows = batch.present[:, column]
            if bool(rows.any()):
                out[modality] = run_on_rows(Reader(self, modality), batch.images[modality], rows, "read")
        return out

    def read(self, images: Tensor, modality: Modality) -> Tensor:
        """Images ``[B, C, S, S]`` of one modality to its map ``[B, D, g + 1, g]``."""
        tokens = kept = self.vit.embed(images, modality)
        for number, block in enumerate(self.blocks(), start=1):
            tokens = block(tokens)
            if number == self.depth:
                kept = tokens
        own = self.vit.finish(tokens[:, :1]).detach().transpose(1, 2)
        first, patches = kept[:, :1].transpose(1, 2), kept[:, 1:].transpose(1, 2)
        last = torch.cat([first, own.expand(-1, -1, self.grid - 1)], dim=2)
        return torch.cat([patches.reshape(images.shape[0], -1, self.grid, self.grid), last[:, :, None]], dim=2)

    def tokens(self, maps: Maps, modality: Modality, count: int) -> Tensor:
        """``[B, 1 + N, D]`` after ``depth`` blocks, class token first; zeros for a modality that has no map."""
        if modality not in maps:
            return self._weight(modality).new_zeros(count, 1 + self.grid**2, self.feature_dim)
        h = maps[modality]
        return torch.cat([h[:, :, -1:, 0], h[:, :, :-1].flatten(2)], dim=2).transpose(1, 2)

    def features(self, maps: Maps, present: Tensor) -> dict[Modality, Tensor]:
        """Each observed modality's own feature ``[B, D]``, zero rows elsewhere."""
        out: dict[Modality, Tensor] = {}
        for column, modality in enumerate(MODALITIES):
            if modality in maps:
                out[modality] = maps[modality][:, :, -1, -1] * present[:, column : column + 1]
            else:
                out[modality] = self._weight(modality).new_zeros(present.shape[0], self.feature_dim)
        return out

    def logits(self, features: Mapping[Modality, Tensor], present: Tensor) -> Tensor:
        """Per-modality logits ``[B, 3]``, zero where not observed."""
        columns = [self.heads[m.value](features[m]).squeeze(1) for m in MODALITIES]
        return torch.stack(columns, dim=1).masked_fill(~present, 0.0)

    def _weight(self, modality: Modality) -> Tensor:
        head = self.heads[modality.value]
        assert isinstance(head, nn.Linear)
        return head.weight


class Reader(nn.Module):
    """One modality's way through the trunk, a module for `run_on_rows`."""

    def __init__(self, trunks: VitTrunks, modality: Modality) -> None:
        super().__init__()
        self.trunks, self.modality = trunks, modality

    def read(self, images: Tensor) -> Tensor:
        """See `VitTrunks.read`."""
        return self.trunks.read(images, self.modality)
