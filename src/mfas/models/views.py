"""Weak views of a batch: the same captures mirrored, shifted and turned a little. Nothing is drawn at random.

Every view is a window inside the image, so no pixel is made up. The three images of a capture move together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import cos, radians, sin

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from mfas.core import Batch, Modality

MOST_VIEWS = 8
"""The original, its mirror image, four shifts, two turns."""


def weak_views(batch: Batch, count: int, shift: float, degrees: float) -> Iterator[Batch]:
    """The first ``count`` of the fixed list of views, without the original; ``count`` in [0, 7].

    In this order: mirrored, shifted left and right, turned both ways, shifted up and down. ``shift`` is a fraction of
    the side (the window is smaller by as much), ``degrees`` the angle.
    """
    if count > 0:
        yield replace(batch, images={m: x.flip(-1) for m, x in batch.images.items()})
    for theta in _windows(shift, degrees)[: max(0, count - 1)]:
        yield replace(batch, images={m: _sample(x, theta, m) for m, x in batch.images.items()})


def _windows(shift: float, degrees: float) -> list[Tensor]:
    scale = 1 - shift
    moved = {(x, y): torch.tensor([[scale, 0, x * shift], [0, scale, y * shift]]) for x, y in _STEPS}
    c, s = cos(radians(degrees)), sin(radians(degrees))
    inside = 1 / (c + s)  # the largest turned square within the image
    turned = [torch.tensor([[c, -k * s, 0], [k * s, c, 0]]) * inside for k in (1, -1)]
    return [moved[-1, 0], moved[1, 0], *turned, moved[0, -1], moved[0, 1]]


_STEPS = ((-1, 0), (1, 0), (0, -1), (0, 1))


def _sample(images: Tensor, theta: Tensor, modality: Modality) -> Tensor:
    grid = affine_grid(theta.to(images).expand(len(images), 2, 3), list(images.shape), align_corners=False)
    # Depth is not mixed between neighbours: across a hole or an edge the mean is a distance that nothing has.
    mode = "nearest" if modality is Modality.DEPTH else "bilinear"
    return grid_sample(images, grid, mode=mode, padding_mode="border", align_corners=False)
