"""Vision transformer (Dosovitskiy et al., ICLR 2021): patches, pre-norm blocks; the last ``upper_depth`` adapt."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mfas.models.backbones.contract import Backbone


class VitBackbone(Backbone):
    """Defaults are a tiny ViT for 112 x 112 with 16 x 16 patches; ``dim=768, depth=12, heads=12`` is ViT-B."""

    def __init__(
        self,
        in_channels: int,
        image_size: int = 112,
        patch: int = 16,
        dim: int = 96,
        depth: int = 4,
        heads: int = 4,
        upper_depth: int = 1,
    ) -> None:
        super().__init__(in_channels)
        self.lower_channels = dim
        self.feature_dim = dim
        self.grid = image_size // patch
        self.patchify = nn.Conv2d(in_channels, dim, patch, patch)
        self.position = nn.Parameter(torch.zeros(1, self.grid**2, dim))
        nn.init.trunc_normal_(self.position, std=0.02)
        self.low = _blocks(dim, heads, depth - upper_depth)
        self.high = _blocks(dim, heads, upper_depth)
        self.norm = nn.LayerNorm(dim)

    def lower(self, x: Tensor) -> Tensor:
        """``[B, C, S, S]`` to a token map ``[B, dim, S/patch, S/patch]``."""
        tokens = self.patchify(x).flatten(2).transpose(1, 2) + self.position
        out: Tensor = self.low(tokens)
        return out.transpose(1, 2).reshape(x.shape[0], -1, self.grid, self.grid)

    def upper(self, h: Tensor) -> Tensor:
        """Token map to the mean token ``[B, dim]``."""
        out: Tensor = self.norm(self.high(h.flatten(2).transpose(1, 2)).mean(dim=1))
        return out

    def tokens(self, h: Tensor) -> Tensor:
        """See `Backbone.tokens`."""
        out: Tensor = self.norm(self.high(h.flatten(2).transpose(1, 2)))
        return out

    def upper_modules(self) -> list[nn.Module]:
        """The last blocks and the final norm."""
        return [self.high, self.norm]


def _blocks(dim: int, heads: int, depth: int) -> nn.Sequential:
    return nn.Sequential(
        *(
            nn.TransformerEncoderLayer(
                dim, heads, 4 * dim, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(depth)
        )
    )
