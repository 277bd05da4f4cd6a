"""`toys.Micro` in numpy, with slopes derived by hand: what losses and gradients of methods are checked against.

The norm turns the pair (x, -x) into (s, -s), s = x / sqrt(x^2 + eps). With scales w, shifts b the features are
(w0 s + b0, -w1 s + b1) and the logit is z = 4 ((w0 + w1) s + b0 - b1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]

SOURCE = np.array([1.0, 1.0, 0.0, 0.0])
"""(w0, w1, b0, b1) of a fresh `Micro`."""


def logit(levels: Sequence[float], theta: Floats = SOURCE) -> Floats:
    x = np.asarray(levels)
    return 4 * ((theta[0] + theta[1]) * x / np.sqrt(x**2 + 1e-5) + theta[2] - theta[3])


def slopes(levels: Sequence[float]) -> Floats:
    """dz / d theta, ``[n, 4]``."""
    x = np.asarray(levels)
    s = x / np.sqrt(x**2 + 1e-5)
    return 4 * np.stack([s, s, np.ones_like(s), -np.ones_like(s)], axis=1)


def entropy(z: Floats) -> Floats:
    p = 1 / (1 + np.exp(-z))
    return -p * np.log(p) - (1 - p) * np.log(1 - p)


def entropy_slope(z: Floats) -> Floats:
    """dH / dz = -z p (1 - p)."""
    return -z / (1 + np.exp(-z)) / (1 + np.exp(z))


def theta_of(tensors: Mapping[str, Tensor], prefix: str = "") -> Floats:
    """(w0, w1, b0, b1) out of tensors by name."""
    parts = [tensors[f"{prefix}norm.{kind}"].double().numpy() for kind in ("weight", "bias")]
    return np.concatenate(parts).copy()
