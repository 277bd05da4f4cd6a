"""The asymmetric contrast of 3A-TTA: bona fide captures share one prototype, attacks are only like their neighbours."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

TEMPERATURE = 0.1


def info_nce(query: Tensor, positive: Tensor, negatives: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    r"""Mean of $-\log \frac{e^{\cos(q, p)/T}}{e^{\cos(q, p)/T} + \sum_k e^{\cos(q, n_k)/T}}$.

    ``query`` and ``positive`` ``[B, D]``, ``negatives`` ``[B, K, D]``: every query has its own.
    """
    q, p, n = normalize(query, dim=1), normalize(positive, dim=1), normalize(negatives, dim=2)
    like = torch.cat([(q * p).sum(dim=1, keepdim=True), torch.einsum("bd,bkd->bk", q, n)], dim=1) / temperature
    return (like.logsumexp(dim=1) - like[:, 0]).mean()


def asymmetric_contrast(
    features: Tensor, bona_fide: Tensor, genuine_bank: Tensor, attack_bank: Tensor, neighbours: int
) -> Tensor:
    """Contrast of the bona fide rows plus contrast of the attack rows of ``features`` ``[B, D]``; both must exist.

    A bona fide row is pulled to the mean of ``genuine_bank`` ``[L, D]`` and pushed from its nearest ``neighbours`` in
    ``attack_bank`` ``[S, D]``, S at least 2. An attack row is pulled to the mean of its nearest neighbours there, the
    very nearest left out (it may be the row itself), and pushed from all of ``genuine_bank``.
    """
    genuine, attack = features[bona_fide], features[~bona_fide]
    prototype = genuine_bank.mean(dim=0).expand_as(genuine)
    loss = info_nce(genuine, prototype, attack_bank[_nearest(genuine, attack_bank, neighbours)])
    near = attack_bank[_nearest(attack, attack_bank, neighbours + 1)[:, 1:]].mean(dim=1)
    return loss + info_nce(attack, near, genuine_bank.expand(len(attack), -1, -1))


def _nearest(rows: Tensor, bank: Tensor, count: int) -> Tensor:
    """Places in ``bank`` by Euclidean distance, ``[B, min(count, S)]``, nearest first."""
    return torch.cdist(rows.detach(), bank.detach()).argsort(dim=1)[:, :count]
