"""ReGrad: what another modality's gradient may add to a modality's own (MMDG, Lin et al., CVPR 2024).

The modality whose loss is smallest learns fastest. Its gradient must not undo that of the slower ones, so it is brought
into their direction or, where both conflict, beside it; and a modality is listened to as far as it is certain.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def modulate(gradient: Tensor, base: Tensor) -> Tensor:
    """The part of ``gradient`` along ``base`` where they agree, the part at a right angle to it where they conflict.

    >>> modulate(torch.tensor([3.0, 4.0]), torch.tensor([2.0, 0.0])).tolist()
    [3.0, 0.0]
    >>> modulate(torch.tensor([-3.0, 4.0]), torch.tensor([2.0, 0.0])).tolist()
    [0.0, 4.0]
    """
    dot = (gradient * base).sum()
    along = dot / base.square().sum().clamp_min(torch.finfo(base.dtype).tiny) * base
    return torch.where(dot > 0, along, gradient - along)


def regrad(gradients: Sequence[Tensor], certainties: Sequence[Tensor], own: int, fast: int) -> Tensor:
    """What one parameter of modality ``own`` gets for the losses of all modalities; ``fast`` has the smallest loss.

    ``gradients[j]`` is that of modality j's loss, all of one shape; ``certainties[j]`` a number in [0, 1]. Four cases:
    ``own`` is fast or not, the gradients agree or conflict. If it is not, its own gradient is the base and each other
    one is modulated on it; if it is, the sum of the others is the base and its own is modulated.
    """
    others = [j for j in range(len(gradients)) if j != own]
    if not others:
        return gradients[own]
    if own == fast:
        base = torch.stack([gradients[j] for j in others]).sum(dim=0)
        return base + certainties[own] * modulate(gradients[own], base)
    added = [certainties[j] * modulate(gradients[j], gradients[own]) for j in others]
    return gradients[own] + torch.stack(added).sum(dim=0)
