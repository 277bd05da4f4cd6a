"""Label smoothing, standard and adversarial: what a logit aims at. The one notion for models and for pseudo labels.

For two classes, after Yang et al., ACL 2023 (arXiv 2212.10258); `docs/methods/label_smoothing.md` says what differs.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Smoothing = Literal["standard", "adversarial"]
"""Where the mass goes that the label gives up: to both classes alike, or to the one the logit finds less likely."""


def smooth(target: Tensor, amount: float | Tensor) -> Tensor:
    """Standard smoothing: ``target`` in [0, 1] drawn towards 0.5, 0 and 1 by ``amount / 2``.

    ``amount`` in [0, 1], a number or one for each target; at 1 nothing is left to learn.
    """
    return target * (1 - amount) + amount / 2


def smooth_adversarially(target: Tensor, amount: float, logit: Tensor) -> Tensor:
    """Adversarial smoothing: ``amount`` of the mass goes to the class that ``logit`` finds less likely; shape of both.

    Where the logit is right that is `smooth` by twice the amount, where it is wrong the target stays as it is, and a
    logit of 0 gives `smooth` by the amount. No gradient flows through the choice.
    """
    less_likely = (1 - logit.detach().sign().to(target.dtype)) / 2
    return target * (1 - amount) + amount * less_likely


def softened(target: Tensor, reliability: Tensor) -> Tensor:
    """Pseudo labels 0 or 1 that are as sure as their ``reliability`` r in [0, 1]: the other class gets (1 - r) / 2."""
    return smooth(target, 1 - reliability)
