"""Parts of DADM that learn: masks from what two modalities share, and the adapter of central differences."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d


@dataclass(frozen=True, slots=True)
class Aligned:
    """What a pair makes of its two streams: ``tokens`` ``[B, 1 + N, D]`` and ``info`` ``[B, D]``, one per stream."""

    tokens: tuple[Tensor, Tensor]
    info: tuple[Tensor, Tensor]


class MutualMask(nn.Module):
    """A pair of modalities masks the patches of both by what they show together.

    ``width`` channels carry what is shared; each stream gets one half of them beside its own masked patches. Layers are
    the published ones with GroupNorm in place of BatchNorm: a score must not depend on its batch.
    """

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        half = width // 2
        self.interact = nn.Sequential(
            nn.Conv2d(2 * dim, 2 * dim, 3, padding=1, groups=2 * dim, bias=False),
            *_norm_act(2 * dim),
            nn.Conv2d(2 * dim, width, 1, bias=False),
            *_norm_act(width),
            *_conv(width, width),
        )
        self.mask = nn.Sequential(
            *_conv(width, half),
            *_conv(half, half),
            nn.Conv2d(half, 2 * dim, 3, padding=1, bias=False),
            nn.GroupNorm(1, 2 * dim),
            nn.Sigmoid(),
        )
        self.interact_class = nn.Linear(2 * dim, width)
        self.fuse = nn.ModuleList(nn.Linear(dim + half, dim) for _ in range(2))

    def forward(self, one: Tensor, two: Tensor) -> Aligned:
        """Two streams ``[B, 1 + N, D]``, class token first."""
        both = torch.cat([one, two], dim=2)
        first, patches = both[:, :1], _as_map(both[:, 1:])
        shared = self.interact(patches)
        masked = _as_tokens(patches * self.mask(shared))
        shares = torch.cat([self.interact_class(first), _as_tokens(shared)], dim=1).chunk(2, dim=2)
        kept = torch.cat([first, masked], dim=1).chunk(2, dim=2)
        fused = [
            fuse(torch.cat(pair, dim=2)) for fuse, pair in zip(self.fuse, zip(kept, shares, strict=True), strict=True)
        ]
        return Aligned((fused[0], fused[1]), (kept[0].mean(dim=1), kept[1].mean(dim=1)))


class CentralDifference(nn.Conv2d):
    """3 x 3 convolution less ``theta`` times what it makes of the centre's level (Yu et al., CVPR 2020)."""

    def __init__(self, channels: int, theta: float) -> None:
        super().__init__(channels, channels, 3, padding=1, bias=False)
        self.theta = theta

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, h, w]`` to the same shape."""
        level = self.weight.sum(dim=(2, 3), keepdim=True)
        return super().forward(x) - self.theta * conv2d(x, level)


class DifferenceAdapter(nn.Module):
    """Down to ``width``, central differences over the grid, up again; adds nothing before it has learnt."""

    def __init__(self, dim: int, width: int, theta: float, dropout: float) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(dim, width), nn.Linear(width, dim)
        self.differ = CentralDifference(width, theta)
        self.act, self.dropout = nn.GELU(), nn.Dropout(dropout)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """``[B, 1 + N, D]`` to the same shape; the class token is a map of one pixel."""
        x = self.act(self.down(tokens))
        first = self.differ(x[:, :1].transpose(1, 2).unsqueeze(3)).flatten(2).transpose(1, 2)
        patches = _as_tokens(self.differ(_as_map(x[:, 1:])))
        out: Tensor = self.up(self.dropout(self.act(torch.cat([first, patches], dim=1))))
        return out


def _as_map(tokens: Tensor) -> Tensor:
    """``[B, g * g, C]`` to ``[B, C, g, g]``."""
    side = round(tokens.shape[1] ** 0.5)
    # GroupNorm's backward pass on maps that lie channels-last in memory crashes torch 2.13.
    return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, side, side).contiguous()


def _as_tokens(grid: Tensor) -> Tensor:
    return grid.flatten(2).transpose(1, 2)


def _conv(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), *_norm_act(outputs)]


def _norm_act(channels: int) -> list[nn.Module]:
    return [nn.GroupNorm(1, channels), nn.ReLU()]
