r"""Pure functions of logits for two classes; a logit $z$ is a softmax over two logits that differ by $z$.

All work in logarithms, so that saturated scores give finite values and slopes.
"""

from __future__ import annotations

from math import log

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def log_mixture(logits: Tensor, log_weights: Tensor) -> tuple[Tensor, Tensor]:
    r"""$\ln \bar p$ and $\ln (1 - \bar p)$ of $\bar p = \sum_s w_s \sigma(z_s)$ over the first dimension.

    ``logits`` ``[S, ...]``; ``log_weights`` of a shape that broadcasts to it, summing to one as weights, -inf = none.
    """
    genuine = torch.logsumexp(logsigmoid(logits) + log_weights, dim=0)
    attack = torch.logsumexp(logsigmoid(-logits) + log_weights, dim=0)
    return genuine, attack


def mixture_entropy(logits: Tensor, log_weights: Tensor) -> Tensor:
    r"""$H(\bar p)$ in nats, in [0, ln 2], of the mixture of `log_mixture`."""
    genuine, attack = log_mixture(logits, log_weights)
    return -(genuine.exp() * genuine + attack.exp() * attack)


def prior_divergence(logits: Tensor, prior: float) -> Tensor:
    r"""$\mathrm{KL}(\bar p \,\|\, \pi)$ in nats of the mean score of a batch ``[B]`` from a bona fide share ``prior``.

    With ``prior`` 0.5 it is $\ln 2 - H(\bar p)$.

    >>> round(float(prior_divergence(torch.tensor([40.0, 40.0]), 0.5)), 4)
    0.6931
    """
    even = torch.full((len(logits),), -log(len(logits)), dtype=logits.dtype, device=logits.device)
    genuine, attack = log_mixture(logits, even)
    return genuine.exp() * (genuine - log(prior)) + attack.exp() * (attack - log(1 - prior))


def divergence(given: Tensor, logits: Tensor) -> Tensor:
    r"""$\mathrm{KL}(p_0 \,\|\, p)$ in nats between scores of logits ``given`` (0) and ``logits``; same shape."""
    genuine = torch.sigmoid(given) * (logsigmoid(given) - logsigmoid(logits))
    attack = torch.sigmoid(-given) * (logsigmoid(-given) - logsigmoid(-logits))
    return genuine + attack
