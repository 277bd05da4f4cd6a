"""Parts of PMC: gradient reversal and domain heads, which target captures a pass may learn from, and how many."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce


def reversed_gradient(x: Tensor, strength: float) -> Tensor:
    """``x`` itself, with a gradient of ``-strength`` times what arrives."""
    return (1 + strength) * x.detach() - strength * x


def reversal_strength(progress: float) -> float:
    """2 / (1 + e^(-10 p)) - 1: from 0 at the beginning of the fit to nearly 1 at its end."""
    return 2 / (1 + exp(-10 * progress)) - 1


def rate_factor(progress: float) -> float:
    """(1 + 10 p)^(-3/4): by what every learning rate, each group's own, is multiplied."""
    return float((1 + 10 * progress) ** -0.75)


class DomainHead(nn.Module):
    """Says whether a feature is of the target."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def loss(self, source: Tensor, target: Tensor, strength: float) -> Tensor:
        """Cross-entropy on the source's plus that on the target's features ``[B, D]``, which get it reversed.

        An empty side adds nothing.
        """
        total = torch.zeros(())
        for features, goal in ((source, 0.0), (target, 1.0)):
            if len(features):
                logit = self.body(reversed_gradient(features, strength)).squeeze(1)
                total = total + bce(logit, torch.full_like(logit, goal))
        return total


def most_certain(logits: Tensor, candidates: Tensor, share: float) -> Tensor:
    """Indices (long) of the ``share`` of ``candidates`` (bool ``[N]``) whose logits ``[N]`` are furthest from 0."""
    count = round(share * int(candidates.sum()))
    certain = logits.abs().masked_fill(~candidates, -1.0)
    return certain.topk(count).indices


def weighted_loss(logits: Tensor, goals: Tensor, confidence: Tensor) -> Tensor:
    """Cross-entropy of each capture times its own ``confidence``, then the mean; all ``[B]``."""
    return (bce(logits, goals, reduction="none") * confidence).mean()


def learning_share(accuracies: Sequence[float], passes: int) -> float:
    """The share of the target to learn from in the next pass, from source accuracies after each pass so far.

    It starts at one pass's worth, grows by as much after a pass, and shrinks when the last two accuracies were both
    below their running means.
    """
    votes = 1
    for i in range(len(accuracies)):
        # equal accuracies must not count as a fall, however their mean is rounded
        fell = i > 0 and all(accuracies[j] < sum(accuracies[: j + 1]) / (j + 1) - 1e-9 for j in (i - 1, i))
        votes += -1 if fell else 1
    return min(1.0, max(0.0, votes / passes))
