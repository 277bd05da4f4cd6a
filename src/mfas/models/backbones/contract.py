"""What every backbone offers."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor, nn


class Backbone(nn.Module):
    """A feature extractor in two parts.

    ``lower(x)`` maps float ``[B, C, H, W]`` to a map ``[B, lower_channels, h, w]``; it runs once without gradient while
    adapting. ``upper(map)`` maps that to a feature ``[B, feature_dim]``. Transformers lay their tokens out as a map.
    Models that need more than one vector per image take ``tokens(map)``, what there is before pooling.
    """

    lower_channels: int
    feature_dim: int

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels

    @abstractmethod
    def lower(self, x: Tensor) -> Tensor:
        """Image to intermediate map."""

    @abstractmethod
    def upper(self, h: Tensor) -> Tensor:
        """Intermediate map to pooled feature."""

    @abstractmethod
    def tokens(self, h: Tensor) -> Tensor:
        """Intermediate map to normalised tokens ``[B, h' * w', feature_dim]`` of a square grid, row by row."""

    @abstractmethod
    def upper_modules(self) -> list[nn.Module]:
        """The modules `upper` uses; everything else is the lower part."""

    def frozen_modules(self) -> list[nn.Module]:
        """What never learns."""
        return []

    def stored_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """Options that rebuild this backbone without files or a hub, from the ``options`` it was built with."""
        return options

    def forward(self, x: Tensor) -> Tensor:
        """Image to pooled feature."""
        out: Tensor = self.upper(self.lower(x))
        return out
