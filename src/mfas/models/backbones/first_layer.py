"""First-layer weights made for RGB, brought to depth with validity (two channels) and infrared (one)."""

from __future__ import annotations

from torch import Tensor


def adapt_channels(weight: Tensor, channels: int) -> Tensor:
    """``[D, C, p, p]`` to ``[D, channels, p, p]``: the mean over the inputs, repeated, times ``C / channels``.

    An input whose channels are all alike then gets the answer that a grey picture got. A weight that has ``channels``
    inputs already comes back as it is.
    """
    given = weight.shape[1]
    if given == channels:
        return weight
    mean = weight.mean(dim=1, keepdim=True) * (given / channels)
    return mean.expand(-1, channels, *weight.shape[2:]).contiguous()
