"""Adaptive average pooling as two small products: in an ONNX graph the operator itself becomes dozens of slow nodes."""

from __future__ import annotations

import torch
from torch import Tensor


def average_grid(h: Tensor, grid: int) -> Tensor:
    """``[B, C, h, w]`` to ``[B, C, grid, grid]``, the means that `torch.nn.functional.adaptive_avg_pool2d` takes."""
    rows, columns = (_shares(side, grid).to(h) for side in h.shape[-2:])
    return rows @ h @ columns.T


def _shares(side: int, grid: int) -> Tensor:
    """``[grid, side]``: cell i averages the places from floor(i side / grid) to ceil((i + 1) side / grid)."""
    out = torch.zeros(grid, side)
    for i in range(grid):
        first, last = i * side // grid, -(-(i + 1) * side // grid)
        out[i, first:last] = 1 / (last - first)
    return out
