"""Parts of MMDG: how certain a token is under dropout, and the adapter through which a modality hears another.

Lin et al., *Suppress and Rebalance: Towards Generalized Multi-Modal Face Anti-Spoofing*, CVPR 2024 (arXiv 2402.19298).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mfas.models.dadm_parts import CentralDifference


def dropout_spread(passes: int, rate: float, seed: int, shape: tuple[int, ...]) -> Tensor:
    """Standard deviation (unbiased) over ``passes`` fixed dropout masks of a unit activation, ``shape``.

    Dropout multiplies an activation ``a`` by masks scaled to mean 1, so the deviation of its copies is ``|a|`` times
    that of the masks: as the masks are the same for every capture, all draws come down to this one factor. With many
    passes it tends to ``sqrt(rate / (1 - rate))``.
    """
    generator = torch.Generator().manual_seed(seed)
    masks = (torch.rand(passes, *shape, generator=generator) >= rate).float() / (1 - rate)
    return masks.std(dim=0)


def certainty(attended: Tensor, spread: Tensor, sensitivity: float) -> Tensor:
    """``U = mean over channels of exp(-sensitivity * deviation)`` in (0, 1] of tokens ``[B, N, D]``: ``[B, N]``.

    No gradient flows through it.
    """
    return torch.exp(-sensitivity * attended.detach().abs() * spread).mean(dim=2)


class UncertainAdapter(nn.Module):
    """What one modality hears of another: narrow cross-attention by certainty, central differences, up again.

    Queries come from the sender, keys and values from the receiver; the sender's certainty multiplies the attention
    logits of its queries, so an uncertain token attends evenly. It adds nothing before it has learnt.
    """

    def __init__(self, dim: int, width: int, heads: int, theta: float, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.down_own, self.down_other = nn.Linear(dim, width), nn.Linear(dim, width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.differ = CentralDifference(width, theta)
        self.dropout = nn.Dropout(dropout)
        self.up = nn.Linear(width, dim)
        for down in (self.down_own, self.down_other):
            nn.init.xavier_uniform_(down.weight)
            nn.init.zeros_(down.bias)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, own: Tensor, other: Tensor, certain: Tensor) -> Tensor:
        """Tokens ``[B, 1 + N, D]`` of receiver and sender, the sender's certainty ``[B, 1 + N]``; ``[B, 1 + N, D]``."""
        mine, theirs = quick_gelu(self.down_own(own)), quick_gelu(self.down_other(other))
        x = self.norm(self.attend(mine, theirs, certain) + mine)
        first = self.differ(x[:, :1].transpose(1, 2).unsqueeze(3)).flatten(2).transpose(1, 2)
        count, length, width = x[:, 1:].shape
        side = round(length**0.5)
        grid = self.differ(x[:, 1:].transpose(1, 2).reshape(count, width, side, side).contiguous())
        patches = grid.flatten(2).transpose(1, 2)
        out: Tensor = self.up(self.dropout(quick_gelu(torch.cat([first, patches], dim=1))))
        return out

    def attend(self, mine: Tensor, theirs: Tensor, certain: Tensor) -> Tensor:
        """``O softmax(Q(theirs) K(mine)^T U / sqrt(d)) V(mine)`` on narrow tokens ``[B, 1 + N, width]``."""
        query, key, value = self._split(self.query(theirs)), self._split(self.key(mine)), self._split(self.value(mine))
        logits = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
        weights = (logits * certain[:, None, :, None]).softmax(dim=-1)
        out: Tensor = self.out((weights @ value).transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        count, length, width = x.shape
        return x.reshape(count, length, self.heads, width // self.heads).transpose(1, 2)


def quick_gelu(x: Tensor) -> Tensor:
    """``x sigmoid(1.702 x)``."""
    return x * torch.sigmoid(1.702 * x)


class Prototypes(nn.Module):
    """One centre for all live captures and one for the attacks of each site, per modality; moving averages.

    Buffers: ``centres`` ``[3, 1 + sites, D]`` and how often each was ``updated``.
    """

    centres: Tensor
    updated: Tensor

    def __init__(self, modalities: int, sites: int, dim: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("centres", torch.zeros(modalities, 1 + sites, dim))
        self.register_buffer("updated", torch.zeros(modalities, 1 + sites, dtype=torch.long))

    def classes(self, live: Tensor, sites: Tensor | None) -> Tensor:
        """Class of each capture: 0 = live, else 1 + its site's number; sites beyond the last share them in turn."""
        if sites is None:
            sites = torch.zeros_like(live, dtype=torch.long)
        return torch.where(live, 0, 1 + sites % (self.centres.shape[1] - 1))

    @torch.no_grad()
    def update(self, totals: Tensor, counts: Tensor) -> None:
        """Move towards the means of a batch: sums ``[3, 1 + sites, D]`` of features, and their counts."""
        rate = (self.updated / (self.updated + 1)).clamp_max(self.momentum)[..., None]
        mean = totals / counts.clamp_min(1e-12)[..., None]
        seen = counts > 0
        self.centres.copy_(torch.where(seen[..., None], mean.lerp(self.centres, rate), self.centres))
        self.updated += seen

    def loss(self, features: Tensor, column: int, classes: Tensor) -> Tensor:
        """Mean of ``-log softmax(-distance)`` at the own class of ``[N, D]`` features, over classes that have a centre.

        Captures of a class without one count for nothing; 0 where all do.
        """
        known = self.updated[column] > 0
        features, classes = features[known[classes]], classes[known[classes]]
        centres = self.centres[column].clone()
        apart = torch.cdist(features[None], centres[None], compute_mode="donot_use_mm_for_euclid_dist")[0]
        losses = cross_entropy((-apart).masked_fill(~known, float("-inf")), classes, reduction="sum")
        return losses / max(1, len(features))
